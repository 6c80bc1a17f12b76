// The data of one recurrent layer, decoded once: trace, input, initial state.
// Letters: E examples, U units shown, T steps shown, D features.
const decoded = new Map();

function layerData(index) {
  if (!decoded.has(index)) decoded.set(index, readLayer(facts.layers[index]));
  return decoded.get(index);
}

// Blobs by key, all decoded.
async function decodeAll(blobs) {
  const found = Object.create(null); // keys are names of states: any word, constructor too
  await Promise.all(entries(blobs || {}).map(async ([key, blob]) => { found[key] = blob && await decode(blob); }));
  return found;
}

async function readLayer(layer) {
  const trace = layer.trace, drawn = trace.drawn;
  const me = { facts: layer, drawn, arrays: Object.create(null), keys: [], fine: {}, initial: {} };
  me.back = layer.direction === "backward";
  me.states = layer.states.map(state => state.key);
  me.main = me.states[0];
  me.stamp = facts.inputs.map(input => input.stamp).find(Boolean) || null;
  if (drawn) {
    me.rows = trace.units.shown;
    me.T = trace.steps.shown[1] - trace.steps.shown[0];
    me.E = trace.examples.shown.length;
    me.mask = trace.mask;
    me.keys = trace.arrays.map(row => row.key);
    [me.arrays, me.initial, me.fine, { x: me.input, beside: me.beside }] = await Promise.all([
      decodeAll(fromEntries(trace.arrays.map(row => [row.key, row.blob]))),
      decodeAll(trace.initial), decodeAll(trace.detail.arrays), decodeAll({ x: trace.input, beside: trace.beside })]);
    for (const row of trace.arrays) assign(me.arrays[row.key], row);
    const ends = trace.input || { min: 0, max: 1 };
    me.range = { gray: ends.min >= 0, top: topOf({ blob: ends }) };
    me.best = trace.best_units.length ? trace.best_units[0] : me.rows[0];
  } else {
    me.rows = seq(clamp(layer.U || 1, 1, 4096), k => k);
    me.T = layer.T.value || 4;
    me.E = 1;
    me.mask = me.input = null;
    me.best = 0;
  }
  const at = new Map(me.rows.map((unit, row) => [unit, row]));
  const fine = new Map((drawn ? trace.detail.units : []).map((unit, row) => [unit, row]));
  me.rowOf = unit => at.has(unit) ? at.get(unit) : -1;
  me.firstStep = floor(me.T * 0.6);
  if (me.mask) for (let t = 0; t < me.T; t++) if (me.mask[0][me.firstStep] !== "1") me.firstStep = (me.firstStep + 1) % me.T;

  me.has = (key, unit) => at.get(unit) < me.arrays[key].shape[1];
  // [value, precision] of an array at (example, unit, step); finer where it was kept.
  me.value = (key, e, unit, t) => {
    const array = me.arrays[key], row = at.get(unit);
    if (!array || row === undefined || row >= array.shape[1] || t < 0 || t >= me.T) return [NaN, 0];
    const near = fine.get(unit), sharp = me.fine[key];
    if (near !== undefined && sharp && near < sharp.shape[1]) {
      return [sharp.at((e * sharp.shape[1] + near) * me.T + t), sharp.precision];
    }
    return [array.at((e * array.shape[1] + row) * me.T + t), array.precision];
  };
  // The same as words; at a masked step no gate was computed.
  me.text = (key, e, unit, t) => { const [value, precision] = me.value(key, e, unit, t); return Number.isNaN(value) && !me.read(e, t) ? "masked" : signed(value, precision); };
  // The state that step t starts from: the step before in processing order.
  me.before = (key, e, unit, t) => {
    const last = me.back ? t + 1 : t - 1;
    if (last >= 0 && last < me.T) return me.value(key, e, unit, last);
    const start = me.initial[key];
    return start ? [at.get(unit) < start.shape[1] ? start.at(e * start.shape[1] + at.get(unit)) : NaN, start.precision] : [0, 1e-3];
  };
  me.x = (e, t, d) => me.input ? me.input.at((e * me.T + t) * me.input.shape[2] + d) : NaN;
  me.read = (e, t) => !me.mask || me.mask[e][t] === "1";
  return me;
}
