// The recurrence itself, from the weights kept in the page: what the experiments and
// the ledgers run. Float64, written like the papers. Letters: D U G.
const sigmoid = x => 1 / (1 + Math.exp(-x));
const ACTIVATIONS = { // by the formula that the facts name, not by what a user calls it
  sigmoid, tanh: Math.tanh, linear: x => x, relu: x => max(x, 0),
  hard_sigmoid: x => clamp(x / 6 + 0.5, 0, 1), softsign: x => x / (1 + abs(x)),
};
const MOST_WORK = 60e6; // multiply-adds one run may spend

// Several views ask at once; they share one reading.
const weightsOf = layer => layer.reading ||= readWeights(layer);

async function readWeights(layer) {
  const found = layer.facts.embedded;
  if (!found.embedded) layer.cannot = found.why;
  else if (!layer.input) layer.cannot = layer.facts.trace.input_text || "its input is not kept";
  else return layer.weights = await decodeAll(found.arrays);
  return null;
}

// A vector times some columns of a matrix, four rows at a time.
function times(vector, matrix, width, first, end) {
  const out = new Float64Array(end - first), n = vector.length, b = width, c = 2 * width, d = 3 * width;
  let r = 0;
  for (; r + 3 < n; r += 4) {
    const v = vector[r], w = vector[r + 1], x = vector[r + 2], y = vector[r + 3];
    for (let k = 0, at = r * width + first; k < out.length; k++, at++) out[k] += v * matrix[at] + w * matrix[at + b] + x * matrix[at + c] + y * matrix[at + d];
  }
  for (; r < n; r++) for (let k = 0, at = r * width + first; k < out.length; k++) out[k] += vector[r] * matrix[at + k];
  return out;
}

// One step. `z` gets the gate values by key; returns the new states.
function cellStep(layer, w, x, old, z) {
  const { U, gates, config, kind } = layer.facts, width = gates.length * U;
  const after = kind === "GRU" && config.reset_after;
  const R = w.recurrent_kernel.values, b = w.bias && w.bias.values;
  const late = kind === "GRU" && !after; // the candidate's columns wait for r
  const fromX = times(x, w.kernel.values, width, 0, width), fromH = times(old.h, R, width, 0, late ? 2 * U : width);
  if (b) for (let k = 0; k < width; k++) { fromX[k] += b[k]; if (after) fromH[k] += b[width + k]; }
  const act = gates.map(gate => ACTIVATIONS[gate.computed_as]);
  const next = { h: new Float64Array(U) };
  const gate = (k, extra) => {
    const values = new Float64Array(U);
    for (let u = 0; u < U; u++) {
      const sum = fromX[k * U + u] + (extra ? extra[u] : fromH[k * U + u]);
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
    const update = gate(0), r = gate(1);
    const extra = late ? times(r.map((value, u) => value * old.h[u]), R, width, 2 * U, width) : r.map((value, u) => value * fromH[2 * U + u]);
    const hh = gate(2, extra);
    for (let u = 0; u < U; u++) next.h[u] = update[u] * old.h[u] + (1 - update[u]) * hh[u];
  } else {
    next.h = gate(0);
  }
  return next;
}

// The recurrence over one example: {h: [T] of arrays, c, gates}. Changes: `x(t, d, v)`
// rewrites the input, `silent` a unit held at 0, `masked(t)` skips, `apart` cuts every
// connection between different units. Up to step number `from` it is `base` unchanged.
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
  const steps = max(1, min(layer.T, floor(MOST_WORK / (width * (D + U)))));
  const result = { steps, states: {}, gates: {} };
  let state = {};
  const { base, from = 0 } = change;
  for (const key of layer.states) {
    const start = layer.initial[key];
    state[key] = Float64Array.from(seq(U, u => start ? start.at(e * U + u) : 0));
    result.states[key] = new Array(layer.T);
  }
  if (change.silent !== undefined) state.h[change.silent] = 0;
  for (let n = 0; n < steps; n++) {
    const t = layer.back ? layer.T - 1 - n : n;
    if (n < from) {
      for (const key of layer.states) result.states[key][t] = state[key] = base.states[key][t];
      continue;
    }
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
