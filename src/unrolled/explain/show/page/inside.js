// Inside one step: a strip of `units` per gate, the rails of h and c, and, at the
// last zoom, the wires into one unit. The same columns serve both zooms.
function columns() {
  const { facts: f, states } = L, list = [];
  const add = (key, label, kind, group) => list.push({ key, label, kind, group });
  add("x", "xₜ", "features", "reads");
  if (f.beside) add("beside", moreName(f), "features", "reads");
  for (const key of states.slice(0, 1)) add(key, `${key}ₜ₋₁`, "before", "reads");
  for (const gate of f.gates) if (L.arrays[gate.key] && gate.key !== "h") add(gate.key, gate.key, "gate", "gates");
  for (const key of states.slice(1)) { add(key, `${key}ₜ₋₁`, "before", "carried"); add(key, `${key}ₜ`, "after", "carried"); }
  add(states[0], `${states[0]}ₜ`, "after", "out");
  if (L.arrays.y) add("y", "yₜ", "after", "out");
  return list;
}

const actOf = key => (L.facts.gates.find(one => one.key === key) || {}).activation;
const sizeOf = ({ key, kind }) => key === "beside" ? L.facts.beside.size : kind === "features" ? L.facts.D : key === "y" ? L.facts.P : (L.facts.states.find(one => one.key === key) || { size: L.facts.U }).size;

function inside(stage, wide, zoom) {
  const { facts: f } = L, list = columns(), one = zoom === 4, tall = 200, top = 92, height = 380, bottom = top + tall;
  const gap = min(118, (wide - 24) / list.length), start = (wide - gap * list.length) / 2 + gap / 2;
  const w = min(26, gap * 0.5), n = high(), at = k => start + k * gap;
  const place = label => at(list.findIndex(column => column.label === label));
  const svg = sv("svg", { viewBox: `0 0 ${wide} ${height}`, class: `figure inside${one ? " single" : ""}`, role: "img" });
  const kx = place("xₜ"), kh = place(`${L.main}ₜ₋₁`), out = place(`${L.main}ₜ`), title = tx(4, 20, "steps-ink strong");
  // Rails: what is carried on runs along the top (c) and the bottom (h).
  list.forEach((column, k) => {
    if (column.group !== "carried" || column.kind !== "before") return;
    const rail = top - 30, into = top + 16, side = w / 2 + 9;
    svg.append(pa(`M2 ${rail}H${at(k) - side}V${into}h5`, "rail"), pa(`M${at(k) + w / 2 + 3} ${into}H${at(k + 1) - w / 2 - 4}`, "rail"),
      pa(`M${at(k + 1) + w / 2 + 2} ${into}h7V${rail}H${wide - 6}`, "rail"),
      tx(4, rail - 8, "units-ink", f.kind === "LSTM" ? "c: kept × f, then i × g is added" : `${L.states.slice(1).join(", ")}: carried on`));
    if (f.kind === "LSTM" && gap > 70) svg.append(tx(at(k) + gap / 2, into - 8, "tiny mid", "× f"), tx(at(k) + gap / 2, into + 20, "tiny mid", "+ i × g"),
      pa(`M${at(k + 1) + w / 2 + 3} ${bottom - 16}H${at(k + 2) - w / 2 - 4}`, "wire units to"), tx(at(k + 1) + gap / 2, bottom - 24, "tiny mid", `× o`));
  });
  const ground = bottom + 52;
  svg.append(pa(`M2 ${ground}H${kh}V${bottom + 24}`, "rail"), pa(`M${out} ${bottom + 24}V${ground}H${wide - 6}`, "rail"),
    tx(wide - 8, ground + 18, "units-ink end", `${L.main}: ${L.arrays.y ? "" : "output, and "}read at the next step`));
  // Both reads go to every gate; what another cell reads, and where, is not known.
  const gates = list.flatMap((column, k) => column.group === "gates" ? [at(k)] : []), targets = gates.length || !f.gates.length ? gates : [out], fans = [];
  if (one) {
    const fan = (from, many, axis, to) => {
      const path = pa("", `fan ${axis}`);
      fans.push((y, is) => fill(path, { d: seq(is ? many : 0, m => `M${from + w / 2} ${(top + (m + 0.5) / many * tall).toFixed(1)}L${to - w / 2} ${y}`).join("") }));
      return path;
    };
    for (const to of targets) svg.append(fan(kx, min(f.D, 64), "features", to), fan(kh, min(n, 64), "units", to));
  } else if (targets.length) {
    const bus = bottom + 36;
    svg.append(pa(`M${kx} ${bottom + 24}V${bus}H${targets[targets.length - 1]}`, "wire soft"), ...gates.map(x => pa(`M${x} ${bus}V${bottom + 24}`, "wire soft to")));
  }
  const updates = list.map((column, k) => {
    const { key, kind, group, label } = column, array = L.arrays[key], x = at(k) - w / 2, reads = kind === "features", size = sizeOf(column);
    const part = sv("g", { class: `column ${group}` }, tx(at(k), top - 9, `${reads ? "features-ink" : group === "gates" ? "" : "units-ink"} strong mid`, label),
      tx(at(k), bottom + 17, "tiny mid", group === "gates" && gap > 90 ? `${count(size)} · ${actOf(key)}` : count(size)));
    svg.append(part);
    const [own, of] = key === "beside" ? [L.beside, besideOf] : [L.input, inputOf];
    if (reads ? !own : !array) { part.append(patch(x, top, w, tall, reads ? "features" : "units")); return () => {}; }
    const dim = one && !reads && at(k) !== kh, [hold, frame] = framed(x, top, w, tall, reads ? "features" : "units"), rows = reads ? n : array.shape[1], h = max(tall / rows, one ? 14 : 2);
    const lit = bx(x - 4, 0, w + 8, h, "lit"), spot = bx(x, 0, w, 18, "frame units"), value = tx(at(k), 0, "strong value mid");
    part.append(hold, frame, ...reads ? [] : [lit], ...dim ? [spot, value] : []);
    if (dim) hold.classList.add("dim");
    return (e, t, unit, row) => {
      const last = L.back ? t + 1 : t - 1, y = top + (row + 0.5) / rows * tall, none = row >= rows;
      const strip = reads ? of(e, t) : columnOf(key, e, kind === "before" ? last : t);
      if (hold.firstChild !== strip) put(hold, strip);
      if (reads) return;
      for (const node of [lit, spot, value]) node.style.display = none ? "none" : "";
      if (none) return;
      fill(lit, { y: y - h / 2 });
      if (!dim) return;
      const [v, precision] = kind === "before" ? L.before(key, e, unit, t) : L.value(key, e, unit, t);
      fill(spot, { y: y - 9, fill: colour(v, array.scale, topOf(array)) });
      fill(value, { y: y > top + tall / 2 ? y - 16 : y + 28 });
      say(value, gap < 44 ? "" : Number.isNaN(v) && !L.read(e, t) ? "–" : signed(v, max(precision, gap > 56 && abs(v) < 0.05 ? 4e-4 : 4e-3)));
    };
  });
  svg.append(title, tx(4, height - 14, "tiny", wide > 640 && f.equations[f.equations.length - 1] || ""));
  svg.onclick = event => {
    const box = boxOf(svg), place = (event.clientY - box.top) / box.height * height;
    if (place >= top && place <= bottom) select({ unit: L.rows[clamp(floor((place - top) / tall * n), 0, n - 1)] });
  };
  put(stage, svg);
  return () => {
    const { example: e, step: t, unit } = chosen, row = L.rowOf(unit), y = (top + (row + 0.5) / n * tall).toFixed(1);
    for (const update of updates) update(e, t, unit, row);
    for (const fan of fans) fan(y, row < n);
    say(title, `step ${t + 1} of ${count(L.T)}${L.read(e, t) ? "" : ": masked, so every state is carried over"}`);
    fill(svg, { "aria-label": `Inside step ${t + 1}${one ? `, unit ${unit + 1}` : ""}: ${list.map(column => column.label).join(", ")}` });
  };
}

// The last step of the arithmetic of one unit, in numbers.
function unitSums() {
  const { facts: f } = L, { example: e, unit, step: t } = chosen;
  const v = key => L.value(key, e, unit, t), old = key => L.before(key, e, unit, t);
  const text = pair => plain(pair[0], max(pair[1], 5e-4));
  const line = (result, parts, value) => el("p", {}, el("b", {}, result), ` = ${parts} = `, el("b", {}, text(value)));
  if (!L.read(e, t)) return [el("p", {}, "This step is masked: ", el("b", {}, `${L.main} = ${text(v(L.main))}`), ", carried over unchanged.")];
  if (f.kind === "LSTM") return [
    line("c", `f × c before + i × g = ${text(v("f"))} × ${text(old("c"))} + ${text(v("i"))} × ${text(v("g"))}`, v("c")),
    line("h", `o × ${f.gates[2].activation}(c) = ${text(v("o"))} × ${f.gates[2].activation}(${text(v("c"))})`, v("h"))];
  if (f.kind === "GRU") return [line("h", `z × h before + (1 − z) × hh = ${text(v("z"))} × ${text(old("h"))} + (1 − ${text(v("z"))}) × ${text(v("hh"))}`, v("h"))];
  return L.states.filter(key => L.has(key, unit)).map(key => el("p", {}, el("b", {}, key), ` was ${text(old(key))}, is `, el("b", {}, text(v(key)))));
}
