// The ledger of a unit: where each gate's number comes from. Exact where the facts
// hold it; otherwise added up here, term by term, from the embedded weights.
const LARGEST = 6;

function ledgerHere(layer, w, run, e, unit, t) {
  const { U, D, gates, config, kind } = layer.facts, width = gates.length * U;
  const last = layer.back ? t + 1 : t - 1, old = run.states.h[last];
  const start = layer.initial.h, precision = layer.facts.embedded.max_error;
  const h = j => old ? old[j] : start ? start.at(e * U + j) : 0;
  const b = w.bias ? w.bias.values : null, rows = [];
  gates.forEach((gate, k) => {
    const column = k * U + unit, late = kind === "GRU" && gate.key === "hh";
    const r = late ? run.gates[t].r : null, scale = late && config.reset_after ? r[unit] : null;
    const terms = [];
    for (let d = 0; d < D; d++) terms.push({ from: "x", index: d, weight: w.kernel.values[d * width + column], value: layer.x(e, t, d) });
    for (let j = 0; j < U; j++) {
      const value = late && !config.reset_after ? r[j] * h(j) : h(j);
      terms.push({ from: late && !config.reset_after ? "r*h" : "h", index: j, weight: w.recurrent_kernel.values[j * width + column], value });
    }
    for (const term of terms) term.product = term.weight * term.value * (term.from === "h" && scale !== null ? scale : 1);
    terms.sort((p, q) => Math.abs(q.product) - Math.abs(p.product));
    const add = list => list.reduce((sum, term) => sum + term.product, 0);
    const bias = b ? (b.length > width ? [b[column], b[width + column]] : [b[column]]) : [];
    const all = add(terms) + bias.reduce((sum, value, n) => sum + value * (n && scale !== null ? scale : 1), 0);
    rows.push({ ...gate, terms: terms.slice(0, LARGEST), rest: { count: Math.max(terms.length - LARGEST, 0), sum: add(terms.slice(LARGEST)) },
      bias, scaled_by: scale, sum: all, value: ACTIVATIONS[gate.activation](all), difference: null });
  });
  return { gates: rows, precision: Math.max(precision, 5e-7), here: true };
}

view("ledger", () => {
  const lead = byId("ledger-lead"), tabs = byId("ledger-tabs"), body = byId("ledger-body");
  let gate = 0, last = null;
  return async changed => {
    const layer = L, { example: e, unit, step: t } = selection, f = layer.facts;
    if (changed.has("layer") || last !== layer) { gate = 0; last = layer; }
    if (!f.gates.length || !layer.drawn) {
      say(lead, layer.drawn ? "This cell is not one whose sums are known, so its terms are not listed." : `Not drawn: ${f.trace.why}.`);
      put(tabs); put(body);
      return;
    }
    let found = f.ledgers.find(one => one.unit === unit && one.step === t && one.example === e);
    if (found && !found.whole) expand(found, f);
    if (!found && layer.read(e, t)) {
      const run = layer.runs && layer.runs[e] || await baseline(layer, e);
      if (layer !== L || unit !== selection.unit || t !== selection.step) return;
      if (run && run.gates[t] && run.gates[t][f.gates[0].key]) found = ledgerHere(layer, layer.weights, run, e, unit, t);
    }
    const terms = f.D + f.U + (f.numbers.formula ? f.numbers.formula.bias_rows : 0);
    say(lead, `Unit ${unit + 1} at step ${t + 1}. Each gate adds ${count(terms)} terms: ${plural(f.D, "feature")}, ${count(f.U)} values of h, ${f.numbers.formula.bias_rows ? "its bias" : "no bias"}. ${f.numbers.per_unit ? `This unit owns ${count(f.numbers.per_unit)} weights.` : ""}`);
    if (!found) { put(tabs); put(body, elsewhere(layer, e, t)); return; }
    put(tabs, found.gates.map((one, k) => el("button", { type: "button", "aria-pressed": String(k === gate), onclick: () => { gate = k; refresh("gate"); } }, `${one.key} · ${one.name}`)));
    put(body, ledgerTable(found, found.gates[gate]));
  };
});

// The page keeps terms as [from, index, weight, value]; the rest follows.
function expand(found, f) {
  found.whole = true;
  found.gates.forEach((gate, k) => {
    Object.assign(gate, { name: f.gates[k].name, activation: f.gates[k].activation });
    gate.terms = gate.terms.map(([from, index, weight, value]) => ({ from, index, weight, value,
      product: real(weight) * real(value) * (from === "h" && gate.scaled_by !== null ? real(gate.scaled_by) : 1) }));
  });
}

function elsewhere(layer, e, t) {
  if (!layer.read(e, t)) return el("p", {}, "This step is masked: nothing was added up. The state is carried over.");
  const known = layer.facts.ledgers;
  return el("div", {}, el("p", {}, `The weights are not in this page (${layer.cannot || layer.facts.embedded.why}), so only these were written down:`),
    known.map(one => el("button", { type: "button", class: "link", onclick: () => select({ unit: one.unit, step: one.step, example: one.example }) }, `unit ${one.unit + 1}, step ${one.step + 1}`)));
}

function ledgerTable(found, gate) {
  const p = found.here ? found.precision : 0, f = L.facts;
  const biggest = Math.max(...gate.terms.map(term => Math.abs(real(term.product))), Math.abs(real(gate.rest.sum)), 1e-12);
  const bar = value => {
    const share = Math.min(Math.abs(value) / biggest, 1) || 0, mark = el("i", { class: value < 0 ? "minus" : "plus" });
    mark.style.width = `${(share * 50).toFixed(1)}%`;
    return el("td", { class: "share", "aria-hidden": "true" }, el("span", {}, mark));
  };
  const num = (value, precision) => el("td", { class: "num" }, signed(real(value), precision));
  const wp = found.here ? L.weights.kernel.precision : 0;
  const rows = gate.terms.map(term => el("tr", {},
    el("th", { scope: "row", class: term.from === "x" ? "features-ink" : "units-ink" }, term.from === "x" ? `x[${term.index + 1}]` : `${term.from}[${term.index + 1}]`),
    num(term.weight, wp), num(term.value, p), num(term.product, p), bar(real(term.product))));
  const wide = (label, value, cls) => el("tr", { class: cls }, el("th", { scope: "row", colspan: 3 }, label), num(value, p), bar(real(value)));
  if (gate.rest.count) rows.push(wide(`the other ${count(gate.rest.count)} terms`, gate.rest.sum, "rest"));
  gate.bias.forEach((value, n) => rows.push(wide(gate.bias.length > 1 ? `bias of ${n ? "h" : "x"}${n && gate.scaled_by !== null ? `, × r` : ""}` : "bias", real(value) * (n && gate.scaled_by !== null ? real(gate.scaled_by) : 1), "rest")));
  const table = el("table", { class: "terms" },
    el("caption", {}, `${gate.key}, ${gate.name}: the largest of ${count(f.D + f.U)} products${gate.scaled_by !== null ? `; those of h are multiplied by r = ${plain(real(gate.scaled_by), p)}` : ""}`),
    el("thead", {}, el("tr", {}, ["from", "weight", "value", "product"].map((word, k) => el("th", { scope: "col", class: k ? "num" : "" }, word)), el("td", HIDDEN))),
    el("tbody", {}, rows),
    el("tfoot", {}, el("tr", {}, el("th", { scope: "row", colspan: 3 }, "sum"), el("td", { class: "num", id: "ledger-sum" }, signed(real(gate.sum), p)), el("td", {}))));
  const after = el("p", { class: "after" }, `${gate.activation}(${plain(real(gate.sum), p)}) = `, el("b", { id: "ledger-value" }, plain(real(gate.value), p)));
  const note = el("p", { class: "small" }, found.here ? `Added up in this page; ${f.embedded.text}.` : `Added up when the model ran; the sum misses the gate's own by ${Number(real(gate.difference)).toPrecision(1)}.`);
  return [table, after, note];
}
