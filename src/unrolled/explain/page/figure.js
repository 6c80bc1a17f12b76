// The figure with four zooms: 1 one rolled cell, 2 unrolled over time, 3 inside one
// step, 4 one unit. Time runs only to the right, units only downwards.
const CAPTIONS = [
  l => `One cell, ${plural(l.facts.U, "unit")} wide. It is called ${l.facts.T.value ? count(l.facts.T.value) : "T"} times; what it returns goes back in.`,
  l => `The same cell, drawn once per step. The weights are drawn once, because there is one set: ${count(l.facts.numbers.params)} numbers. Dashed boxes are drawings, not cells.`,
  l => `Inside a step each box emits exactly ${plural(l.facts.U, "number")}, one per unit. The lit row is one unit.`,
  l => `One number per gate${l.states.includes("c") ? ", one of c, one of h" : " and one of h"}. Each gate reads all ${plural(l.facts.D, "feature")} and all of h (${count(l.facts.U)}).`,
];

function setZoom(zoom) {
  select({ zoom });
  const radio = byId(`zoom-${selection.zoom}`);
  if (radio) radio.checked = true;
}

view("zoom", root => {
  for (let k = 1; k < 5; k++) on(byId(`zoom-${k}`), "change", () => setZoom(k));
  const stage = byId("stage"), caption = byId("zoom-words"), numbers = byId("zoom-numbers"), flags = returnFlags();
  let drawnAs = "";
  return changed => {
    const zoom = selection.zoom, wide = Math.max(260, widthOf(stage));
    const rebuild = `${selection.layer} ${wide} ${zoom > 2 ? zoom : "unrolled"}`;
    stage.setAttribute("aria-label", `Zoom ${zoom}: unit ${selection.unit + 1}, step ${selection.step + 1}`);
    if (zoom <= 2) {
      if (rebuild !== drawnAs || changed.has("theme")) put(stage, sv("svg"));
      unrolled(stage, wide, zoom, flags.outputs());
    } else {
      inside(stage, wide, zoom);
    }
    drawnAs = rebuild;
    say(caption, CAPTIONS[zoom - 1](L));
    flags.update(zoom <= 2);
    put(numbers, zoom === 4 && L.drawn ? unitSums() : []);
  };
});

// return_sequences and its friends, over the executed table.
function returnFlags() {
  const keys = ["return_sequences", "return_state", "stateful"];
  const boxes = keys.map(key => byId(`flag-${key}`)), line = byId("returned"), node = byId("flags");
  for (const box of boxes) on(box, "change", () => refresh("flags"));
  resets.push(() => keys.forEach((key, k) => { boxes[k].checked = !!L.facts.config[key]; }));
  const row = () => ((L.facts.returns || {}).rows || []).find(one => keys.every((key, k) => one[key] === boxes[k].checked));
  return {
    outputs: () => ({ all: boxes[0].checked, state: boxes[1].checked }),
    update: shown => {
      node.hidden = !shown || !L.facts.returns;
      const found = row();
      if (!found) { say(line, ""); return; }
      say(line, found.ran ? `Ran it: returns ${found.text.map((text, k) => `${found.meaning[k]} ${text}`).join(", ")}`
        : `Did not run: ${found.error}`);
      for (const tr of all(`[data-layer="${L.facts.id}"] tr[data-returns]`)) {
        tr.classList.toggle("lit", tr.dataset.returns === keys.map((key, k) => Number(boxes[k].checked)).join(""));
      }
    },
  };
}

// Which steps have room: a window around the chosen one, always with both ends.
function slots(T, room, step) {
  if (T <= room) return Array.from({ length: T }, (_, t) => t);
  const inner = Math.max(1, room - 4), from = clamp(step - (inner >> 1), 1, T - 1 - inner);
  const middle = Array.from({ length: inner }, (_, k) => from + k);
  return [0, ...(from > 1 ? [null] : []), ...middle, ...(from + inner < T - 1 ? [null] : []), T - 1];
}

const CELL = { top: 112, tall: 150, wide: 42 };
function unrolled(stage, wide, zoom, out) {
  const svg = stage.firstElementChild, { facts: f, T, drawn } = L;
  const rolled = zoom === 1, left = 58, height = 420;
  const list = slots(T, Math.max(5, Math.floor((wide - left - 26) / 78)), selection.step), middle = wide / 2;
  // Left-out steps take half the room of a drawn one.
  const room = list.map(t => t === null ? 0.5 : 1), gap = Math.min(110, (wide - left - 26) / room.reduce((a, b) => a + b));
  const places = room.map((share, k) => left + gap * (room.slice(0, k).reduce((a, b) => a + b, 0) + share / 2));
  const place = k => rolled ? middle : places[k];
  svg.setAttribute("viewBox", `0 0 ${wide} ${height}`);
  svg.setAttribute("class", rolled ? "figure rolled" : "figure");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${rolled ? "Rolled" : "Unrolled"}: ${f.sentence}`);
  const { top, tall, wide: cw } = CELL, bottom = top + tall, e = selection.example;
  const main = L.main, array = L.arrays[main], many = L.states.length > 1;
  const shown = new Map();
  for (const node of svg.querySelectorAll("[data-step]")) shown.set(node.dataset.step, node);
  // What stays: weights, axes, loop.
  let base = svg.querySelector(".base");
  if (base) base.remove();
  const plate = rolled ? [middle - Math.min(150, wide / 2 - 4), Math.min(300, wide - 8)] : [left - 20, wide - left + 6];
  base = sv("g", { class: "base" },
    bx(plate[0], 6, plate[1], 44, "plate"),
    tx(plate[0] + 12, 24, "strong", `One set of weights: ${count(f.numbers.params)}`),
    tx(plate[0] + 12, 42, "tiny", wide > 700 && !rolled ? f.weights.map(w => `${w.name} ${w.shape.join("×")}`).join(" · ") : "the same at every step"),
    rolled ? [] : axes(f, left, wide, top, tall, height, T));
  if (rolled) {
    const x = middle + cw / 2, loop = `M${x} ${top + tall * 0.7}h52v-${tall * 0.7 + 22}H${middle - cw / 2 - 52}v${tall * 0.7 + 22}h44`;
    base.append(pa(loop, "rail"),
      tx(x + 60, top + 26, "units-ink", many ? "h, c" : main),
      tx(x + 60, top + 48, "steps-ink strong", `× ${f.T.value ? count(f.T.value) : "T"}`),
      tx(x + 60, top + 66, "tiny", "steps"),
      tx(middle - cw / 2 - 60, top + 60, "units-ink end", `${count(f.U)}`),
      tx(middle - cw / 2 - 60, top + 78, "tiny end", "units high"));
  }
  svg.prepend(base);
  list.forEach((t, k) => {
    const key = t === null ? `gap${k < list.length / 2 ? 0 : 1}` : String(t);
    let group = shown.get(key);
    shown.delete(key);
    if (!group) {
      group = sv("g", { "data-step": key, class: "copy" });
      group.style.transform = `translate(${place(k)}px,0)`;
      svg.append(group);
    }
    const front = t === selection.step;
    const is = [front && selection.unit, rolled, gap, e, out.all, out.state, list[k + 1], list[k - 1]].join();
    if (group.is !== is) { group.is = is; put(group, t === null ? tx(0, top + tall / 2, "dots", "· · ·") : copyOf(t, front, { e, array, drawn, out, rolled, many, to: L.back ? places[k - 1] - places[k] : places[k + 1] - places[k], beside: list[L.back ? k - 1 : k + 1] })); }
    group.setAttribute("class", front ? "copy chosen" : "copy");
    group.style.transform = `translate(${place(k)}px,0)`;
    group.style.opacity = rolled && !front ? 0 : 1;
    if (front && svg.lastChild !== group) svg.append(group);
    if (t !== null && !rolled) group.onclick = () => select({ step: t });
  });
  for (const node of shown.values()) node.remove();
}

// Two perpendicular axes: units down, steps to the right.
function axes(f, left, wide, top, tall, height, T) {
  const y = height - 24;
  return [
    pa(`M${left - 34} ${top}v${tall}`, "axis units to"),
    sv("text", { transform: `translate(${left - 42} ${top + tall / 2}) rotate(-90)`, class: "units-ink mid" }, plural(f.U, "unit")),
    pa(`M${left - 14} ${y}H${wide - 10}`, "axis steps to"),
    tx(left - 14, y + 18, "steps-ink", `time: ${plural(T, "step")}${L.back ? ", read from the last to the first" : ""}`),
  ];
}

// One drawing of the cell at step t.
function copyOf(t, front, { e, array, drawn, out, rolled, many, to, beside }) {
  const { top, tall, wide } = CELL, half = wide / 2, bottom = top + tall, f = L.facts;
  const skipped = !L.read(e, t), parts = [];
  if (!rolled) parts.push(pa(`M-14 50V${top}`, "pin"));
  parts.push(bx(-half, top, wide, tall, "cell"));
  parts.push(drawn ? kept(`${e} ${t}`, () => strip(L.column(L.main, e, t), -10, top + 10, 20, tall - 20, array.scale, topOf(array))) : patch(-10, top + 10, 20, tall - 20, "units"));
  const row = L.rowOf(selection.unit), tallRow = (tall - 20) / L.rows.length;
  if (front) parts.push(bx(-14, top + 10 + row * tallRow - 1, 28, Math.max(tallRow, 1) + 2, "lit"));
  // What it reads, from below; a masked step is not read.
  if (!skipped) parts.push(pa(`M0 ${bottom + 36}V${bottom + 3}`, "wire features to"));
  parts.push(inputStrip(e, t, -9, bottom + 38, 18, 54));
  parts.push(tx(0, bottom + 108, "features-ink tiny mid", `x${sub(t + 1)}${skipped ? " skip" : ""}`));
  if (!rolled) {
    const sign = L.back ? -1 : 1, end = beside === undefined, a = sign * (half + 2);
    const stop = end ? sign * (half + 14) : to - sign * (beside === null ? 8 : half + 5);
    const rail = (y, word) => [pa(`M${a} ${y}H${stop}`, "rail"), tx((a + stop) / 2, y - 6, "tiny units-ink mid", end ? "" : word)];
    parts.push(...rail(top + tall * 0.78, L.main));
    if (many) parts.push(...rail(top + tall * 0.22, L.states[1]));
  }
  const final = L.back ? t === 0 : t === L.T - 1;
  const lit = out.all || final;
  if (lit || rolled) parts.push(pa(`M12 ${top}V${top - (rolled ? 38 : 22)}`, "wire units to"));
  parts.push(tx(12, top - (rolled ? 44 : 28), `mid out${lit || rolled ? "" : " off"}`, `${L.main}${sub(t + 1)}`));
  if (final && out.state && many && !rolled) parts.push(tx(12, top - 44, "out mid", `+ h, ${L.states[1]}`));
  if (!rolled && front) parts.push(tx(0, bottom + 124, "steps-ink tiny mid", `step ${t + 1}`));
  return parts;
}
