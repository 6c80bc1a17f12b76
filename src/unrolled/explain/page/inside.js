// Inside one step: a strip of `units` per gate, the rails of h and c, and, at the
// last zoom, the wires into one unit. The same columns serve both zooms.
function columns() {
  const { facts: f, states } = L, list = [];
  const add = (key, label, kind, group) => list.push({ key, label, kind, group });
  add("x", "xₜ", "features", "reads");
  for (const key of states.slice(0, 1)) add(key, `${key}ₜ₋₁`, "before", "reads");
  for (const gate of f.gates) if (L.arrays[gate.key] && gate.key !== "h") add(gate.key, gate.key, "gate", "gates");
  for (const key of states.slice(1)) { add(key, `${key}ₜ₋₁`, "before", "carried"); add(key, `${key}ₜ`, "after", "carried"); }
  add(states[0], `${states[0]}ₜ`, "after", "out");
  if (L.arrays.y) add("y", "yₜ", "after", "out");
  return list;
}

const activationOf = key => { const gate = L.facts.gates.find(one => one.key === key); return gate ? gate.activation : ""; };

function inside(stage, wide, zoom) {
  const { facts: f } = L, { example: e, step: t, unit } = selection;
  const list = columns(), one = zoom === 4, tall = 200, top = 92, height = 380, bottom = top + tall;
  const gap = Math.min(118, (wide - 24) / list.length), start = (wide - gap * list.length) / 2 + gap / 2;
  const w = Math.min(26, gap * 0.5);
  const svg = sv("svg", { viewBox: `0 0 ${wide} ${height}`, class: `figure inside${one ? " single" : ""}`, role: "img",
    "aria-label": `Inside step ${t + 1}${one ? `, unit ${unit + 1}` : ""}: ${list.map(column => column.label).join(", ")}` });
  const at = k => start + k * gap, row = L.rowOf(unit), n = L.rows.length;
  const place = k => list.findIndex(column => column.label === k);
  const y = top + (row + 0.5) / n * tall;
  const kx = place("xₜ"), kh = place(`${L.main}ₜ₋₁`);
  // Rails: what is carried on runs along the top (c) and the bottom (h).
  list.forEach((column, k) => {
    if (column.group !== "carried" || column.kind !== "before") return;
    const rail = top - 30, into = top + 16, side = w / 2 + 9;
    svg.append(pa(`M2 ${rail}H${at(k) - side}V${into}h5`, "rail"), pa(`M${at(k) + w / 2 + 3} ${into}H${at(k + 1) - w / 2 - 4}`, "rail"),
      pa(`M${at(k + 1) + w / 2 + 2} ${into}h7V${rail}H${wide - 6}`, "rail"),
      tx(4, rail - 8, "units-ink", f.kind === "LSTM" ? "c: kept × f, then i × g is added" : `${column.key} is carried on`));
    if (f.kind === "LSTM" && gap > 70) svg.append(tx(at(k) + gap / 2, into - 8, "tiny mid", "× f"), tx(at(k) + gap / 2, into + 20, "tiny mid", "+ i × g"),
      pa(`M${at(k + 1) + w / 2 + 3} ${bottom - 16}H${at(k + 2) - w / 2 - 4}`, "wire units to"), tx(at(k + 1) + gap / 2, bottom - 24, "tiny mid", `× o`));
  });
  const floor = bottom + 52;
  svg.append(pa(`M2 ${floor}H${at(kh)}V${bottom + 24}`, "rail"));
  const kOut = list.findIndex(column => column.key === L.main && column.kind === "after");
  svg.append(pa(`M${at(kOut)} ${bottom + 24}V${floor}H${wide - 6}`, "rail"),
    tx(wide - 8, floor + 18, "units-ink end", `${L.main}: output, and read at the next step`));
  // Both reads go to every gate.
  const gates = list.map((column, k) => [column, k]).filter(([column]) => column.group === "gates");
  const targets = gates.length ? gates : [[list[kOut], kOut]];
  if (!one) {
    const bus = bottom + 36, last = at(targets[targets.length - 1][1]);
    svg.append(pa(`M${at(kx)} ${bottom + 24}V${bus}H${last}`, "wire soft"));
    for (const [, k] of targets) if (gates.length) svg.append(pa(`M${at(k)} ${bus}V${bottom + 24}`, "wire soft to"));
  } else {
    for (const [, k] of targets) svg.append(fanIn(kx, kh, k));
  }
  function fanIn(a, b, k) {
    const many = Math.min(f.D, 64), from = (column, count, cls) => sv("path", { class: `fan ${cls}`,
      d: Array.from({ length: count }, (_, m) => `M${at(column) + w / 2} ${(top + (m + 0.5) / count * tall).toFixed(1)}L${at(k) - w / 2} ${y.toFixed(1)}`).join("") });
    return sv("g", {}, from(a, many, "features"), from(b, Math.min(n, 64), "units"));
  }
  list.forEach((column, k) => {
    const x = at(k) - w / 2, part = sv("g", { class: `column ${column.group}` });
    const array = L.arrays[column.key];
    if (column.kind === "features") {
      part.append(inputStrip(e, t, x, top, w, tall));
    } else if (!array) {
      part.append(patch(x, top, w, tall, "units"));
    } else {
      const dim = one && k !== kh;
      const whole = kept([k, wide, one, e, t].join("_"), () => strip(column.kind === "before" ? L.columnBefore(column.key, e, t) : L.column(column.key, e, t), x, top, w, tall, array.scale, topOf(array)));
      if (dim) whole.setAttribute("class", "strip dim");
      part.append(whole);
      const h = Math.max(tall / n, one ? 14 : 2);
      part.append(bx(x - 4, y - h / 2, w + 8, h, "lit"));
      if (one && dim) {
        const [value, precision] = column.kind === "before" ? L.before(column.key, e, unit, t) : L.value(column.key, e, unit, t);
        part.append(sv("rect", { x, y: y - 9, width: w, height: 18, fill: colour(value, array.scale, topOf(array)), class: "frame units" }),
          tx(at(k), y > top + tall / 2 ? y - 16 : y + 28, "strong value mid", signed(value, Math.max(precision, gap > 56 && Math.abs(value) < 0.05 ? 4e-4 : 4e-3))));
      }
    }
    const size = column.kind === "features" ? f.D : column.key === "y" ? f.P : f.U;
    part.append(tx(at(k), top - 9, `${column.kind === "features" ? "features-ink" : column.group === "gates" ? "" : "units-ink"} strong mid`, column.label),
      tx(at(k), bottom + 17, "tiny mid", column.group === "gates" && gap > 90 ? `${count(size)} · ${activationOf(column.key)}` : count(size)));
    svg.append(part);
  });
  svg.append(tx(4, 20, "steps-ink strong", `step ${t + 1} of ${count(L.T)}${L.read(e, t) ? "" : ": masked, so every state is carried over"}`),
    tx(4, height - 14, "tiny", wide > 640 && f.equations[f.equations.length - 1] || ""));
  svg.onclick = event => {
    const box = svg.getBoundingClientRect(), place = (event.clientY - box.top) / box.height * height;
    if (place >= top && place <= bottom) select({ unit: L.rows[clamp(Math.floor((place - top) / tall * n), 0, n - 1)] });
  };
  put(stage, svg);
}

// The last step of the arithmetic of one unit, in numbers.
function unitSums() {
  const { facts: f } = L, { example: e, unit, step: t } = selection;
  const v = key => L.value(key, e, unit, t), old = key => L.before(key, e, unit, t);
  const text = pair => plain(pair[0], Math.max(pair[1], 5e-4));
  const line = (result, parts, value) => el("p", {}, el("b", {}, result), ` = ${parts} = `, el("b", {}, text(value)));
  if (!L.read(e, t)) return [el("p", {}, "This step is masked: ", el("b", {}, `${L.main} = ${text(v(L.main))}`), ", carried over unchanged.")];
  if (f.kind === "LSTM") return [
    line("c", `f × c before + i × g = ${text(v("f"))} × ${text(old("c"))} + ${text(v("i"))} × ${text(v("g"))}`, v("c")),
    line("h", `o × ${f.gates[2].activation}(c) = ${text(v("o"))} × ${f.gates[2].activation}(${text(v("c"))})`, v("h"))];
  if (f.kind === "GRU") return [line("h", `z × h before + (1 − z) × hh = ${text(v("z"))} × ${text(old("h"))} + (1 − ${text(v("z"))}) × ${text(v("hh"))}`, v("h"))];
  return L.states.map(key => el("p", {}, el("b", {}, key), ` was ${text(old(key))}, is `, el("b", {}, text(v(key)))));
}
