// One unit over the real input: what was read above, the unit's numbers below, on
// one time axis.
view("trace", "unit step example", () => {
  const lead = byId("trace-lead"), box = byId("trace-box"), note = byId("trace-note"), now = byId("trace-now"), key = byId("trace-keys");
  const [input, states, gates] = box.querySelectorAll("canvas"), mark = box.lastChild;
  on(box, "pointerdown", event => {
    const area = boxOf(states);
    select({ step: floor((event.clientX - area.left) / area.width * L.T) });
    box.focus({ preventScroll: true });
  });
  return changed => {
    const { facts: f } = L, { example: e, unit, step: t } = chosen, wide = widthOf(box), w = wide / L.T;
    box.hidden = !L.drawn;
    if (!L.drawn) { say(lead, `Not drawn: ${f.trace.why}.`); put(key); say(now, ""); say(note, ""); return; }
    const keys = L.keys.filter(one => L.has(one, unit)), state = one => ["state", "output"].includes(L.arrays[one].role), inner = keys.filter(one => !state(one));
    mark.style.transform = `translate(${t * w}px)`;
    say(now, `step ${t + 1}: ${keys.map(one => `${one} ${L.text(one, e, unit, t)}`).join("   ")}`);
    say(note, inputWords(f, t, e));
    if (changed.size === 1 && changed.has("step")) return;
    mark.style.width = max(w, 2) + "px";
    say(lead, `Unit ${unit + 1} over ${plural(L.T, "step")} of example ${e + 1}${L.stamp ? ` (${L.stamp})` : ""}.`);
    input.parentElement.hidden = !L.input;
    if (L.input && (changed.size > 1 || !changed.has("unit"))) {
      const tall = clamp(f.D * 5, 20, 140), { gray, top } = L.range;
      sized(input, wide, tall).drawImage(pictureOf(f.D, L.T, (d, s) => L.x(e, s, d) / (gray ? top : 1), gray ? "sequential" : "diverging", top), 0, 0, wide, tall);
    }
    lines(states, wide, 150, keys.filter(state));
    gates.parentElement.hidden = !inner.length;
    if (inner.length) lines(gates, wide, 110, inner);
    box.setAttribute("aria-label", `Unit ${unit + 1}: ${keys.join(", ")} over ${plural(L.T, "step")}`);
    put(key, [keys.filter(state), inner].flatMap(list => list.map((one, k) => el("span", {}, sv("svg", { class: `line ${state(one) ? "units" : ""}`, viewBox: "0 0 40 6" }, sv("path", { d: "M0 3H40", "stroke-dasharray": DASHES[k % 4].join(" ") })), `${one} ${L.arrays[one].name}`))));
  };
});

function inputWords(f, t, e) {
  const input = facts.inputs[f.tokens ?? 0];
  if (!L.input) return f.trace.input_text || "What it reads is not kept in this page.";
  const read = ids[f.tokens ?? -1];
  if (read) {
    const id = read.at(e * input.shape[1] + t), { layer, size } = input.vocabulary;
    const word = id >= 0 && id < size ? `The token at step ${t + 1} is ${id}.` : `At step ${t + 1} stands ${id}, which is no token of ${layer} (0 to ${count(size - 1)}).`;
    return `Above: the ${plural(f.D, "feature")} of each step. ${word}`;
  }
  if (input.kind === "rows" && f.D > 4) return `Above: what the layer reads, one column of ${plural(f.D, "feature")} per step. A picture lies on its side: its row ${t + 1} is column ${t + 1}, as time runs to the right.`;
  return `Above: what the layer reads, ${plural(f.D, "feature")} per step.`;
}

// States above, gates below; dashes tell lines apart, never colour alone.
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
function lines(canvas, wide, tall, keys) {
  const g = sized(canvas, wide, tall), w = wide / L.T, { example: e, unit } = chosen;
  let top = 1;
  const series = keys.map(key => seq(L.T, s => L.value(key, e, unit, s)[0]));
  for (const one of series) for (const value of one) if (Number.isFinite(value)) top = max(top, abs(value));
  const y = value => tall / 2 - value / top * (tall / 2 - 12);
  g.strokeStyle = theme.rule; g.lineWidth = 1;
  const levels = [floor(top), 0, -floor(top)];
  for (const level of levels) { g.beginPath(); g.moveTo(0, y(level)); g.lineTo(wide, y(level)); g.stroke(); }
  veil(g, e, w, tall);
  keys.forEach((key, k) => {
    g.strokeStyle = L.states.includes(key) || key === "y" ? theme.units : theme.ink;
    g.lineWidth = 2.25 - 0.25 * k;
    g.setLineDash(DASHES[k % 4]);
    g.beginPath();
    let pen = false;
    series[k].forEach((value, s) => {
      if (!Number.isFinite(value)) { pen = false; return; }
      if (pen) g.lineTo((s + 0.5) * w, y(value)); else g.moveTo((s + 0.5) * w, y(value));
      pen = true;
    });
    g.stroke();
    if (L.T === 1) { g.beginPath(); g.arc(w / 2, y(series[k][0]), 3, 0, 7); g.stroke(); }
  });
  g.setLineDash([]);
  g.fillStyle = theme.soft; g.font = "12px sans-serif"; g.textBaseline = "bottom";
  for (const level of levels) g.fillText(level ? signed(level, 0.5) : "0", 2, y(level) - 1);
}
