// The recurrence itself, from the weights kept in the page: what the experiments and
// the ledgers run. Float64, written like the papers. Letters: D U G.
const sigmoid = x => 1 / (1 + Math.exp(-x));
const ACTIVATIONS = {
  sigmoid, tanh: Math.tanh, linear: x => x, relu: x => Math.max(x, 0),
  hard_sigmoid: x => clamp(x / 6 + 0.5, 0, 1), softsign: x => x / (1 + Math.abs(x)),
};
const MOST_WORK = 60e6; // multiply-adds one run may spend

// Several views ask at once; they share one reading.
const weightsOf = layer => layer.reading ||= readWeights(layer);

async function readWeights(layer) {
  const found = layer.facts.embedded;
  if (!found.embedded) layer.cannot = found.why;
  else if (!layer.input) layer.cannot = layer.facts.trace.input_text || "its input is not kept";
  else {
    const odd = layer.facts.gates.map(gate => gate.activation).find(word => !ACTIVATIONS[word]);
    if (odd) layer.cannot = `this page does not know the activation ${odd}`;
    else {
      const w = {};
      for (const [key, blob] of Object.entries(found.arrays)) w[key] = await decode(blob);
      return layer.weights = w;
    }
  }
  return null;
}

// One step. `z` gets the gate values by key; returns the new states.
function cellStep(layer, w, x, old, z, pre) {
  const { U, D, gates, config, kind } = layer.facts, width = gates.length * U;
  const after = kind === "GRU" && config.reset_after;
  const fromX = new Float64Array(width), fromH = new Float64Array(width);
  const W = w.kernel.values, R = w.recurrent_kernel.values, b = w.bias && w.bias.values;
  for (let d = 0; d < D; d++) {
    const value = x[d];
    if (value !== 0) for (let k = 0, at = d * width; k < width; k++) fromX[k] += value * W[at + k];
  }
  const late = kind === "GRU" && !after ? 2 * U : width; // columns that wait for r
  for (let u = 0; u < U; u++) {
    const value = old.h[u];
    if (value !== 0) for (let k = 0, at = u * width; k < late; k++) fromH[k] += value * R[at + k];
  }
  if (b) for (let k = 0; k < width; k++) { fromX[k] += b[k]; if (after) fromH[k] += b[width + k]; }
  const act = gates.map(gate => ACTIVATIONS[gate.activation]);
  const next = { h: new Float64Array(U) };
  const gate = (k, extra) => {
    const values = new Float64Array(U);
    for (let u = 0; u < U; u++) {
      const sum = fromX[k * U + u] + (extra ? extra[u] : fromH[k * U + u]);
      if (pre) (pre[gates[k].key] ||= new Float64Array(U))[u] = sum;
      values[u] = act[k](sum);
    }
    return (z[gates[k].key] = values);
  };
  if (kind === "LSTM") {
    const i = gate(0), f = gate(1), g = gate(2), o = gate(3), out = act[2];
    next.c = new Float64Array(U);
    for (let u = 0; u < U; u++) {
      next.c[u] = f[u] * old.c[u] + i[u] * g[u];
      next.h[u] = o[u] * out(next.c[u]);
    }
  } else if (kind === "GRU") {
    const update = gate(0), r = gate(1), extra = new Float64Array(U);
    if (after) for (let u = 0; u < U; u++) extra[u] = r[u] * fromH[2 * U + u];
    else for (let v = 0; v < U; v++) {
      const value = r[v] * old.h[v];
      for (let u = 0; u < U; u++) extra[u] += value * R[v * width + 2 * U + u];
    }
    const hh = gate(2, extra);
    for (let u = 0; u < U; u++) next.h[u] = update[u] * old.h[u] + (1 - update[u]) * hh[u];
  } else {
    next.h = gate(0);
  }
  return next;
}

// The recurrence over one example: {h: [T] of arrays, c, gates}. Changes: `x(t, d, v)`
// rewrites the input, `silent` a unit held at 0, `masked(t)` skips, `apart` cuts every
// connection between different units.
function recompute(layer, w, e, change = {}) {
  const { U, D } = layer.facts, width = layer.facts.gates.length * U;
  let use = w;
  if (change.apart) {
    const cut = new Float32Array(w.recurrent_kernel.values.length);
    for (let u = 0; u < U; u++) for (let k = u; k < width; k += U) {
      cut[u * width + k] = w.recurrent_kernel.values[u * width + k];
    }
    use = { ...w, recurrent_kernel: { values: cut } };
  }
  const steps = Math.max(1, Math.min(layer.T, Math.floor(MOST_WORK / (width * (D + U)))));
  const result = { steps, states: {}, gates: {} };
  let state = {};
  for (const key of layer.states) {
    const start = layer.initial[key];
    state[key] = Float64Array.from({ length: U }, (_, u) => start ? start.at(e * U + u) : 0);
    result.states[key] = new Array(layer.T);
  }
  if (change.silent !== undefined) state.h[change.silent] = 0;
  for (let n = 0; n < steps; n++) {
    const t = layer.back ? layer.T - 1 - n : n;
    const x = new Float64Array(D), gates = {};
    for (let d = 0; d < D; d++) {
      const value = layer.x(e, t, d);
      x[d] = change.x ? change.x(t, d, value) : value;
    }
    const skip = !layer.read(e, t) || (change.masked && change.masked(t));
    if (!skip) {
      state = cellStep(layer, use, x, state, gates);
      if (change.silent !== undefined) {
        state.h[change.silent] = 0;
        if (state.c) state.c[change.silent] = 0;
      }
    }
    for (const key of layer.states) result.states[key][t] = state[key];
    result.gates[t] = gates;
  }
  result.last = state;
  return result;
}

// The unchanged run of an example, kept.
async function baseline(layer, e) {
  const w = await weightsOf(layer);
  if (!w) return null;
  layer.runs ||= {};
  return (layer.runs[e] ||= recompute(layer, w, e));
}
