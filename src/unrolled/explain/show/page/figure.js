// The figure with four zooms: 1 one rolled cell, 2 unrolled over time, 3 inside one
// step, 4 one unit. Time runs only to the right, units only downwards.
function setZoom(zoom) {
  select({ zoom });
  const radio = byId(`zoom-${chosen.zoom}`), from = document.activeElement;
  if (!radio) return;
  radio.checked = true;
  offerFlags();
  if (from.name === radio.name) radio.focus({ preventScroll: true }); // the tabs keep the focus
}

// At once, not when it is drawn: what is hidden cannot be focused.
function offerFlags() { byId("flags").hidden = chosen.zoom > 2 || !L?.facts.returns; }

view("zoom", "unit step example zoom flags", () => {
  for (let k = 1; k < 5; k++) on(byId(`zoom-${k}`), "change", () => setZoom(k));
  const stage = byId("stage"), caption = byId("zoom-words"), numbers = byId("zoom-numbers"), flags = returnFlags();
  let drawnAs = "", update = null;
  return changed => {
    const { zoom, unit, step } = chosen, as = zoom > 2 ? zoom : "unrolled";
    if (ALWAYS.some(key => changed.has(key)) || as !== drawnAs) update = (zoom > 2 ? inside : unrolled)(stage, max(260, widthOf(stage)), zoom);
    drawnAs = as;
    update(zoom, flags.outputs());
    fill(stage, { "aria-label": `Zoom ${zoom}: unit ${unit + 1}, step ${step + 1}` });
    say(caption, L.facts.captions[zoom - 1]);
    if (["layer", "zoom", "flags"].some(key => changed.has(key))) flags.update();
    put(numbers, zoom === 4 && L.drawn ? unitSums() : []);
  };
});

// return_sequences and its friends, over the executed table.
function returnFlags() {
  const keys = ["return_sequences", "return_state", "stateful"];
  const boxes = keys.map(key => byId(`flag-${key}`)), line = byId("returned");
  for (const box of boxes) on(box, "change", () => refresh("flags"));
  resets.push(offerFlags, () => keys.forEach((key, k) => { boxes[k].checked = !!L.facts.config[key]; }));
  const row = () => ((L.facts.returns || {}).rows || []).find(one => keys.every((key, k) => one[key] === boxes[k].checked));
  return {
    outputs: () => ({ all: boxes[0].checked, state: boxes[1].checked }),
    update: () => {
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
  if (T <= room) return seq(T, t => t);
  const inner = max(1, room - 4), from = clamp(step - (inner >> 1), 1, T - 1 - inner);
  const middle = seq(inner, k => from + k);
  return [0, ...(from > 1 ? [null] : []), ...middle, ...(from + inner < T - 1 ? [null] : []), T - 1];
}

// A change of the chosen draws only the copies that are new; the rest is moved.
const CELL = { top: 112, tall: 150, wide: 42 };
function unrolled(stage, wide) {
  const { facts: f, T } = L, { top, tall } = CELL, left = 58, height = 420, middle = wide / 2, groups = new Map();
  const svg = sv("svg", { viewBox: `0 0 ${wide} ${height}`, role: "img" }), lit = bx(-14, 0, 28, 0, "lit"), word = tx(0, top + tall + 124, "steps-ink tiny mid");
  let base = "", was = 0;
  put(stage, svg);
  return (zoom, out) => {
    const rolled = zoom === 1, { step, unit, example: e } = chosen;
    const list = slots(T, max(5, floor((wide - left - 26) / 78)), step);
    // Left-out steps take half the room of a drawn one.
    const room = list.map(t => t === null ? 0.5 : 1), gap = min(110, (wide - left - 26) / room.reduce((a, b) => a + b));
    const places = room.map((share, k) => left + gap * (room.slice(0, k).reduce((a, b) => a + b, 0) + share / 2));
    if (was !== zoom) {
      was = zoom;
      if (base) base.remove();
      base = fixed(f, rolled, wide, left, height);
      svg.prepend(base);
      fill(svg, { class: rolled ? "figure rolled" : "figure", "aria-label": `${rolled ? "Rolled" : "Unrolled"}: ${f.sentence}` });
    }
    const gone = new Map(groups);
    list.forEach((t, k) => {
      const key = t === null ? `gap${k < list.length / 2}` : t, by = L.back ? k - 1 : k + 1, beside = list[by], to = places[by] - places[k];
      gone.delete(key);
      let group = groups.get(key);
      if (!group) {
        group = sv("g", { "data-step": key });
        groups.set(key, group);
        svg.append(group);
        if (t !== null) group.onclick = () => select({ step: t });
      }
      const is = [rolled, e, out.all, out.state, beside === null, to].join();
      if (group.is !== is) { group.is = is; put(group, t === null ? tx(0, top + tall / 2, "dots", "· · ·") : copyOf(t, { e, out, rolled, to, beside })); }
      const front = t === step, rows = high(), row = (tall - 20) / rows, k0 = L.rowOf(unit);
      fill(group, { class: front ? "copy chosen" : "copy" });
      assign(group.style, { transform: `translate(${rolled ? middle : places[k]}px,0)`, opacity: rolled && !front ? 0 : 1 });
      if (!front) return;
      fill(lit, { y: top + 9 + k0 * row, height: k0 < rows ? max(row, 1) + 2 : 0 });
      say(word, rolled ? "" : `step ${t + 1}`);
      if (word.parentNode !== group || !lit.parentNode) group.append(lit, word);
    });
    for (const [key, group] of gone) { groups.delete(key); group.remove(); }
  };
}

// Rows of the first state: the others, and the output, may be wider.
const high = () => L.drawn ? L.arrays[L.main].shape[1] : L.rows.length;

// What stays: weights, axes, loop.
function fixed(f, rolled, wide, left, height) {
  const { top, tall, wide: cw } = CELL, middle = wide / 2;
  const plate = rolled ? [middle - min(150, wide / 2 - 4), min(300, wide - 8)] : [left - 20, wide - left + 6];
  const base = sv("g", {},
    bx(plate[0], 6, plate[1], 44, "plate"),
    tx(plate[0] + 12, 24, "strong", `One set of weights: ${count(f.numbers.params)}`),
    tx(plate[0] + 12, 42, "tiny", wide > 700 && !rolled ? f.weights.map(w => `${w.name} ${w.shape.join("×")}`).join(" · ") : "the same at every step"),
    rolled ? [] : axes(f, left, wide, top, tall, height));
  if (rolled) {
    const x = middle + cw / 2, loop = `M${x} ${top + tall * 0.7}h52v-${tall * 0.7 + 22}H${middle - cw / 2 - 52}v${tall * 0.7 + 22}h44`;
    base.append(pa(loop, "rail"),
      tx(x + 60, top + 26, "units-ink", L.states.join(", ")),
      tx(x + 60, top + 48, "steps-ink strong", `× ${f.T.value ? count(f.T.value) : "T"}`),
      tx(x + 60, top + 66, "tiny", "steps"),
      tx(middle - cw / 2 - 60, top + 60, "units-ink end", `${count(f.U)}`),
      tx(middle - cw / 2 - 60, top + 78, "tiny end", "units high"));
  }
  return base;
}

// How high a copy is: as many rows as there are units, unless h is projected.
const rowsOf = (f, { size } = f.states[0]) => !L.drawn || size === f.U ? plural(f.U, "unit") : `${plural(size, "number")} of ${L.main}`;

// Two perpendicular axes: units down, steps to the right.
function axes(f, left, wide, top, tall, height) {
  const y = height - 24;
  return [
    pa(`M${left - 34} ${top}v${tall}`, "axis units to"),
    sv("text", { transform: `translate(${left - 42} ${top + tall / 2}) rotate(-90)`, class: "units-ink mid" }, rowsOf(f)),
    pa(`M${left - 14} ${y}H${wide - 10}`, "axis steps to"),
    tx(left - 14, y + 18, "steps-ink", `time: ${plural(L.T, "step")}${L.back ? ", read from the last to the first" : ""}`),
  ];
}

// One drawing of the cell at step t.
function copyOf(t, { e, out, rolled, to, beside }) {
  const { top, tall, wide } = CELL, half = wide / 2, bottom = top + tall;
  const skipped = !L.read(e, t), parts = [];
  if (!rolled) parts.push(pa(`M-14 50V${top}`, "pin"));
  parts.push(bx(-half, top, wide, tall, "cell"));
  parts.push(...L.drawn ? framed(-10, top + 10, 20, tall - 20, "units", columnOf(L.main, e, t)) : [patch(-10, top + 10, 20, tall - 20, "units")]);
  // What it reads, from below; a masked step is not read.
  const read = [[-9, 18, L.input, inputOf, tx(0, bottom + 108, "features-ink tiny mid", `x${sub(t + 1)}${skipped ? " skip" : ""}`)]];
  if (L.facts.beside) read.push([14, 7, L.beside, besideOf, tx(12, bottom + 108, "features-ink tiny", moreName(L.facts))]);
  for (const [x, w, held, of, word] of read) {
    if (!skipped) parts.push(pa(`M${x + w / 2} ${bottom + 36}V${bottom + 3}`, "wire features to"));
    parts.push(...held ? framed(x, bottom + 38, w, 54, "features", of(e, t)) : [patch(x, bottom + 38, w, 54, "features")], word);
  }
  if (!rolled) {
    const sign = L.back ? -1 : 1, end = beside === undefined, a = sign * (half + 2);
    const stop = end ? sign * (half + 14) : to - sign * (beside === null ? 8 : half + 5);
    const rail = (y, word) => [pa(`M${a} ${y}H${stop}`, "rail"), tx((a + stop) / 2, y - 6, "tiny units-ink mid", end ? "" : word)];
    L.states.forEach((key, k) => parts.push(...rail(top + tall * (0.78 - 0.56 * k / max(L.states.length - 1, 1)), key)));
  }
  const final = L.back ? t === 0 : t === L.T - 1;
  const lit = out.all || final;
  if (lit || rolled) parts.push(pa(`M12 ${top}V${top - (rolled ? 38 : 22)}`, "wire units to"));
  parts.push(tx(12, top - (rolled ? 44 : 28), `mid out${lit || rolled ? "" : " off"}`, `${L.arrays.y ? "y" : L.main}${sub(t + 1)}`));
  if (final && out.state && !rolled) parts.push(tx(12, top - 44, "out mid", `+ ${L.states.join(", ")}`));
  return parts;
}
