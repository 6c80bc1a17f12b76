// Experiments, recomputed here from the weights in the page.
view("tryout", root => {
  const words = byId("t-words"), maps = byId("t-maps"), ran = byId("t-ran"), range = byId("t-range"), label = byId("t-label"), result = byId("t-result");
  const modes = [...root.querySelectorAll("input[name=t-mode]")];
  for (const mode of modes) on(mode, "change", () => refresh("mode"));
  on(range, "input", () => refresh("mode"));
  let last = "";
  return async () => {
    const layer = L, f = layer.facts, { example: e, unit, step: t } = selection, mode = modes.find(one => one.checked).value;
    const about = { change: "forget", silence: "units_talk", mask: "zero_or_mask", apart: "units_talk" }[mode];
    const known = f.experiments[about];
    say(ran, known ? `On the model itself: ${known.ran ? known.text : known.why}.` : "");
    const base = layer.drawn ? await baseline(layer, e) : null;
    if (layer !== L) return;
    root.classList.toggle("cannot", !base);
    if (!base) {
      say(words, `Not recomputed in this page: ${layer.cannot || f.trace.why || f.embedded.why}.`);
      say(result, ""); put(maps);
      return;
    }
    if (last !== mode + f.id) {
      last = mode + f.id;
      const [min, max, at, by] = mode === "change" ? [-2, 2, 0, 0.1] : [1, Math.max(1, layer.T - 1), Math.max(1, Math.floor(layer.T / 4)), 1];
      Object.assign(range, { min, max, step: by }); range.value = at;
      range.parentElement.hidden = mode === "silence" || mode === "apart";
    }
    const amount = Number(range.value), from = layer.T - amount;
    const late = s => layer.back ? s < amount : s >= from;
    const zeroed = { x: (s, d, v) => late(s) ? 0 : v };
    const [text, changes] = {
      change: [`x at step ${t + 1} times ${amount.toFixed(1)}${amount ? "" : ": blanked out"}. Move the step: how much of it is left in the last h?`, { "h, changed": { x: (s, d, v) => s === t ? v * amount : v } }],
      silence: [`Unit ${unit + 1} is held at 0. The others read it at the next step, so they move too.`, { [`h without unit ${unit + 1}`]: { silent: unit } }],
      mask: [`The last ${plural(amount, "step")} read: once as zeros, once masked. A zero is an input like any other; a mask carries the state over.`, { "h, zeros": zeroed, "h, masked": { masked: late } }],
      apart: ["Every connection between different units is cut. Were the units independent, nothing would change.", { "h, units apart": { apart: true } }],
    }[mode];
    say(words, text);
    say(label, mode === "change" ? `times ${amount.toFixed(1)}` : plural(amount, "step"));
    const runs = Object.entries(changes).map(([title, change]) => [title, recompute(layer, layer.weights, e, change)]);
    const far = runs.map(([title, run]) => {
      let most = 0, who = 0;
      run.last.h.forEach((value, u) => { const gap = Math.abs(value - base.last.h[u]); if (gap > most) { most = gap; who = u; } });
      let moved = 0;
      if (mode === "mask") { const t0 = layer.back ? amount : from - 1; if (t0 >= 0 && t0 < layer.T) run.last.h.forEach((value, u) => { moved = Math.max(moved, Math.abs(value - run.states.h[t0][u])); }); }
      return mode === "mask" ? `${title.slice(3)}: over those steps h moves by up to ${plain(moved, 5e-4)}` : `The last h moves by up to ${plain(most, 5e-4)} (unit ${who + 1})`;
    });
    say(result, `${far.join("; ")}.${base.steps < layer.T ? ` Recomputed over ${base.steps} of ${layer.T} steps.` : ""} ${sentence(f.embedded.text)}${layer.stamp ? ` (${layer.stamp})` : ""}`);
    put(maps, [["h, as it was", base, null], ...runs.map(([title, run]) => [title, run, null]), ...runs.slice(0, 1).map(([, run]) => ["the change", run, base])].map(([title, run, minus]) => runMap(title, run, minus)));
    for (const draw of maps.children) draw.paint();
  };
});

function runMap(title, run, minus) {
  const canvas = el("canvas", HIDDEN), { U } = L.facts, { unit, step } = selection;
  const at = (u, t) => run.states.h[t] ? run.states.h[t][u] - (minus ? minus.states.h[t][u] : 0) : NaN;
  let top = 1e-9;
  for (let t = 0; t < L.T; t++) for (let u = 0; u < U; u++) { const v = Math.abs(at(u, t)); if (v > top) top = v; }
  const now = `unit ${unit + 1}, step ${step + 1}: ${signed(at(unit, step), 5e-4)}`;
  const node = el("figure", {}, el("figcaption", {}, title), el("div", { class: "heat", role: "img", "aria-label": `${title}: ${now}` }, canvas), el("div", { class: "under" }, legend("diverging", top), el("span", { class: "now" }, now)));
  node.paint = () => {
    const wide = widthOf(canvas.parentElement), tall = clamp(U * 2, 60, 150), g = sized(canvas, wide, tall);
    g.imageSmoothingEnabled = false;
    g.drawImage(pictureOf(U, L.T, at, "diverging", top), 0, 0, wide, tall);
    cursor(g, step, wide / L.T, tall);
    canvas.parentElement.style.height = tall + "px";
  };
  return node;
}
