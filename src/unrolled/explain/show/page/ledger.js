// The ledger of a unit: where each gate's number comes from. Exact where the facts
// hold it; otherwise added up here, term by term, from the embedded weights.
const LARGEST = 6;

function sumHere(layer, w, run, e, unit, t, k) {
  const { U, D, gates, config, kind } = layer.facts, width = gates.length * U, gate = gates[k], column = k * U + unit;
  const old = run.states.h[layer.back ? t + 1 : t - 1], start = layer.initial.h;
  const h = j => old ? old[j] : start ? start.at(e * U + j) : 0;
  const late = kind === "GRU" && gate.key === "hh", r = late && run.gates[t].r, after = config.reset_after, scale = late && after ? r[unit] : null;
  const terms = [], add = list => list.reduce((sum, term) => sum + term.product, 0);
  const term = (from, index, weight, value, times) => terms.push({ from, index, weight, value, product: weight * value * times });
  for (let d = 0; d < D; d++) term("x", d + 1, w.kernel.values[d * width + column], layer.x(e, t, d), 1);
  for (let j = 0; j < U; j++) term(late && !after ? "r*h" : "h", j + 1, w.recurrent_kernel.values[j * width + column], late && !after ? r[j] * h(j) : h(j), scale ?? 1);
  terms.sort((p, q) => abs(q.product) - abs(p.product));
  const b = w.bias ? w.bias.values : [], bias = [column, width + column].filter(at => at < b.length).map(at => b[at]);
  const sum = add(terms) + bias.reduce((all, value, n) => all + value * (n ? scale ?? 1 : 1), 0), rest = terms.splice(LARGEST);
  return { ...gate, terms, rest: { count: rest.length, sum: add(rest) }, bias, scaled_by: scale, sum, value: ACTIVATIONS[gate.computed_as](sum), here: true };
}

view("ledger", "unit step example gate", () => {
  const lead = byId("ledger-lead"), tabs = byId("ledger-tabs"), body = byId("ledger-body");
  let gate = 0;
  resets.push(() => { gate = 0; });
  return async changed => {
    const layer = L, { example: e, unit, step: t } = chosen, f = layer.facts, formula = f.numbers.formula;
    if (!f.gates.length || !layer.drawn) {
      say(lead, layer.drawn ? "This cell is not one whose sums are known, so its terms are not listed." : `Not drawn: ${f.trace.why}.`);
      put(tabs); put(body);
      return;
    }
    const stored = f.ledgers.find(one => one.unit === unit && one.step === t && one.example === e);
    let found = stored && whole(stored.gates[gate], f.gates[gate]);
    if (!found && layer.read(e, t)) {
      const run = await baseline(layer, e);
      if (layer !== L || unit !== chosen.unit || t !== chosen.step) return;
      if (run && run.gates[t]) found = sumHere(layer, layer.weights, run, e, unit, t, gate);
    }
    const n = formula.window;
    say(lead, `Unit ${unit + 1} at step ${t + 1}. Each gate adds ${count(n * (f.D + f.U) + formula.bias_rows)} terms: ${plural(n * f.D, "feature")}, ${count(n * f.U)} values of h, ${formula.bias_rows ? "its bias" : "no bias"}. ${f.numbers.per_unit ? `This unit owns ${count(f.numbers.per_unit)} weights.` : ""}`);
    if (!tabs.firstChild || changed.has("layer")) put(tabs, f.gates.map((one, k) => el("button", { type: "button", onclick: () => { gate = k; refresh("gate"); } }, `${one.key} · ${one.name}`)));
    [...tabs.children].forEach((tab, k) => tab.setAttribute("aria-pressed", k === gate));
    tabs.hidden = !found;
    put(body, found ? tableOf(found) : elsewhere(layer, e, t));
  };
});

// The page keeps terms as [from, index, weight, value]; the rest follows. Facts that
// are not finite are words ("NaN"); they become numbers here.
function whole(gate, more) {
  const g = JSON.parse(JSON.stringify({ ...gate, ...more }), (key, value) => NUMBERS.includes(value) ? Number(value) : value);
  g.terms = g.terms.map(([from, index, weight, value]) => ({ from, index, weight, value, product: weight * value * (from === "h" ? g.scaled_by ?? 1 : 1) }));
  return g;
}
const NUMBERS = ["NaN", "Infinity", "-Infinity"];

function elsewhere(layer, e, t) {
  if (!layer.read(e, t)) return el("p", {}, "This step is masked: nothing was added up. The state is carried over.");
  const known = layer.facts.ledgers;
  return el("div", {}, el("p", {}, `Not added up in this page: ${layer.cannot || layer.facts.embedded.why}. These were written down when the model ran:`),
    known.map(one => el("button", { type: "button", class: "link", onclick: () => select({ unit: one.unit, step: one.step, example: one.example }) }, `unit ${one.unit + 1}, step ${one.step + 1}`)));
}

function tableOf(gate) {
  const { facts: f } = L, { here } = gate, p = here ? max(f.embedded.max_error, 5e-7) : 0;
  const biggest = max(...gate.terms.map(term => abs(term.product)), abs(gate.rest.sum), 1e-12);
  const bar = value => {
    const share = min(abs(value) / biggest, 1) || 0, mark = el("i", { class: value < 0 ? "minus" : "plus" });
    mark.style.width = `${(share * 50).toFixed(1)}%`;
    return el("td", { class: "share", ...HIDDEN }, el("span", {}, mark));
  };
  const num = (value, precision) => el("td", { class: "num" }, signed(value, precision));
  const wp = here ? L.weights.kernel.precision : 0;
  const rows = gate.terms.map(term => el("tr", {},
    el("th", { scope: "row", class: term.from === "x" ? "features-ink" : "units-ink" }, `${term.from}[${term.index}]`),
    num(term.weight, wp), num(term.value, p), num(term.product, p), bar(term.product)));
  const wide = (label, value) => el("tr", { class: "rest" }, el("th", { scope: "row", colspan: 3 }, label), num(value, p), bar(value));
  if (gate.rest.count) rows.push(wide(`the other ${count(gate.rest.count)} terms`, gate.rest.sum));
  gate.bias.forEach((value, n) => rows.push(wide(gate.bias.length > 1 ? `bias of ${n ? "h" : "x"}${n && gate.scaled_by !== null ? `, × r` : ""}` : "bias", value * (n ? gate.scaled_by ?? 1 : 1))));
  const table = el("table", { class: "terms" },
    el("caption", {}, `${gate.key}, ${gate.name}: the largest of ${count(f.numbers.formula.window * (f.D + f.U))} products${gate.scaled_by !== null ? `; those of h are multiplied by r = ${plain(gate.scaled_by, p)}` : ""}`),
    el("thead", {}, el("tr", {}, ["from", "weight", "value", "product"].map((word, k) => el("th", { scope: "col", class: k ? "num" : "" }, word)), el("td", HIDDEN))),
    el("tbody", {}, rows),
    el("tfoot", {}, el("tr", {}, el("th", { scope: "row", colspan: 3 }, "sum"), el("td", { class: "num", id: "ledger-sum" }, signed(gate.sum, p)), el("td", {}))));
  const after = el("p", { class: "after" }, `${gate.activation}(${plain(gate.sum, p)}) = `, el("b", { id: "ledger-value" }, plain(gate.value, p)));
  const note = el("p", { class: "small" }, here ? `Added up in this page; ${f.embedded.text}.` : `Added up when the model ran; the sum misses the gate's own by ${Number(gate.difference).toPrecision(1)}.`);
  return [table, after, note];
}
