// Experiments, recomputed here from the weights in the page.
view("tryout", "unit step example mode", root => {
  const words = byId("t-words"), maps = byId("t-maps"), ran = byId("t-ran"), range = byId("t-range"), label = byId("t-label"), result = byId("t-result");
  const modes = [...root.querySelectorAll("input[name=t-mode]")];
  for (const input of [...modes, range]) on(input, "input", () => refresh("mode"));
  let last = "", drawn = "", shown = [];
  return async changed => {
    const layer = L, f = layer.facts, { example: e, unit, step: t } = chosen, mode = modes.find(one => one.checked).value;
    const base = layer.drawn ? await baseline(layer, e) : null;
    if (layer !== L) return;
    root.classList.toggle("cannot", !base);
    if (!base) {
      say(words, `Not recomputed in this page: ${layer.cannot || f.trace.why || f.embedded.why}.`);
      for (const node of [result, ran, maps]) put(node);
      drawn = "";
      return;
    }
    if (last !== mode + f.id) {
      last = mode + f.id;
      const [from, to, at, by] = mode === "change" ? [-2, 2, 0, 0.1] : [1, max(1, layer.T - 1), max(1, floor(layer.T / 4)), 1];
      assign(range, { min: from, max: to, step: by }); range.value = at;
      range.parentElement.hidden = mode === "silence" || mode === "apart";
    }
    const amount = Number(range.value), is = [last, amount, e, mode === "change" && t, mode === "silence" && unit].join();
    const anew = ALWAYS.some(key => changed.has(key));
    if (is !== drawn || anew) {
      drawn = is;
      const known = f.experiments[{ change: "forget", mask: "zero_or_mask" }[mode] || "units_talk"];
      say(ran, known ? `On the model itself: ${known.ran ? known.text : known.why}.` : "");
      say(label, mode === "change" ? `times ${amount.toFixed(1)}` : plural(amount, "step"));
      const [text, runs] = experiment(layer, base, e, mode, amount, unit, t);
      say(words, text);
      say(result, `${runs.map(([title, run, said]) => said || farthest(base, run)).join("; ")}.${base.steps < layer.T ? ` Recomputed over ${base.steps} of ${layer.T} steps.` : ""} ${sentence(f.embedded.text)}${layer.stamp ? ` (${layer.stamp})` : ""}`);
      const rows = [["h, as it was", base], ...runs, ["the change, on its own scale", runs[0][1], "", base]];
      const top = max(...rows.slice(0, -1).map(([, run]) => topOfRun(run))); // one scale for all h
      if (rows.length !== shown.length || !maps.firstChild) { shown = rows.map(runMap); put(maps, shown.map(one => one.node)); }
      rows.forEach(([title, run, , minus], k) => shown[k].paint(title, run, minus, minus ? topOfRun(run, minus) : top, anew));
    }
    for (const one of shown) one.mark(unit, t);
  };
});

// What is tried: a sentence, and the runs as [title, run, what is to be said of it].
function experiment(layer, base, e, mode, amount, unit, t) {
  const first = layer.T - amount, late = s => layer.back ? s < amount : s >= first;
  const run = change => recompute(layer, layer.weights, e, { base, ...change });
  if (mode === "change") return [`x at step ${t + 1} times ${amount.toFixed(1)}${amount ? "" : ": blanked out"}. Move the step: how much of it is left in the last h?`,
    [["h, changed", run({ from: layer.back ? layer.T - 1 - t : t, x: (s, d, v) => s === t ? v * amount : v })]]];
  if (mode === "silence") return [`Unit ${unit + 1} is held at 0. The others read it at the next step, so they move too.`, [[`h without unit ${unit + 1}`, run({ silent: unit })]]];
  if (mode === "apart") return ["Every connection between different units is cut. Were the units independent, nothing would change.", [["h, units apart", run({ apart: true })]]];
  const start = layer.back ? amount : first - 1;
  return [`The last ${plural(amount, "step")} read: once as zeros, once masked. A zero is an input like any other; a mask carries the state over.`,
    entries({ zeros: { x: (s, d, v) => late(s) ? 0 : v }, masked: { masked: late } }).map(([word, change]) => {
      const it = run({ from: first, ...change }), old = it.states.h[start];
      return [`h, ${word}`, it, `${word}: over those steps h moves by up to ${plain(old ? max(...it.last.h.map((value, u) => abs(value - old[u]))) : 0, 5e-4)}`];
    })];
}

function farthest(base, run) {
  const gaps = run.last.h.map((value, u) => abs(value - base.last.h[u])), most = max(...gaps);
  return `The last h moves by up to ${plain(most, 5e-4)} (unit ${gaps.indexOf(most) + 1})`;
}

// The largest number of a run, or of what it moved.
const difference = (run, minus) => (u, t) => run.states.h[t]?.[u] - (minus ? minus.states.h[t][u] : 0); // NaN where it did not run
function topOfRun(run, minus) {
  const at = difference(run, minus);
  let top = 1e-9;
  for (let t = 0; t < L.T; t++) for (let u = 0; u < L.facts.U; u++) { const v = abs(at(u, t)); if (v > top) top = v; }
  return top;
}

function runMap() {
  const { U } = L.facts, { box, paint, mark } = heat({ role: "img" }), caption = el("figcaption"), under = el("div", { class: "under" }), now = el("span", { class: "now" });
  let at = null, was = null, high = 0;
  return { node: el("figure", {}, caption, box, under), paint(title, run, minus, top, anew) {
    if (run === was && top === high && !minus && !anew) return;
    was = run; high = top;
    at = difference(run, minus);
    say(caption, title);
    put(under, legend("diverging", top), now);
    paint(pictureOf(U, L.T, at, "diverging", top), clamp(U * 2, 60, 150), U);
  }, mark(unit, step) {
    mark(step, unit);
    say(now, `unit ${unit + 1}, step ${step + 1}: ${signed(at(unit, step), 5e-4)}`);
    box.setAttribute("aria-label", `${caption.textContent}: ${now.textContent}`);
  } };
}
