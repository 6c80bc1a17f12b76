// Heat maps, units down and steps to the right, one per state and gate; each with a
// cursor of its own layer, so that moving it never repaints the picture.
const MEANINGS = { h: "what the layer says", c: "what it keeps", i: "how much is let in", f: "how much is kept", g: "what could be written", o: "how much is shown", z: "how much stays as it was", r: "how much of h is read", y: "what the cell returns" };

view("maps", () => {
  const words = byId("maps-words"), grid = byId("maps-grid"), table = byId("step-numbers");
  const [caption, thead, tbody] = byId("step-table").children;
  on(table, "toggle", () => refresh("table"));
  for (const [id, act] of [["save-csv", () => download(csv(), "text/csv", "csv")], ["save-svg", saveSvg], ["save-png", savePng]]) on(byId(id), "click", act);
  let maps = [];
  const rebuild = () => {
    maps = L.keys.map(key => heatMap(key));
    put(grid, maps.map(map => map.node));
  };
  return changed => {
    if (!L.drawn) { put(grid); say(words, `Not drawn: ${L.facts.trace.why}.`); table.hidden = true; return; }
    table.hidden = false;
    if (changed.has("layer") || !maps.length || maps[0].of !== L) rebuild();
    const cut = [L.facts.trace.units.text, L.facts.trace.steps.text, L.facts.trace.examples.text, ...(L.facts.trace.notes || [])].filter(Boolean);
    say(words, `${cut.length ? `Shown: ${cut.join("; ")}. ` : ""}Every row is one unit, every column one step. ${sentence(L.facts.trace.check.text)}`);
    const repaint = ["layer", "example", "theme", "size"].some(key => changed.has(key));
    for (const map of maps) map.update(repaint);
    if (table.open) stepTable(caption, thead, tbody);
  };
});

function heatMap(key) {
  const array = L.arrays[key], of = L;
  const base = el("canvas", HIDDEN), over = el("canvas", HIDDEN);
  const now = el("output", { class: "now", id: `now-${key}`, "aria-live": "off" });
  const box = el("div", { class: "heat", id: `heat-${key}`, tabindex: 0, role: "group", "aria-roledescription": "heat map", "data-keys": true, "aria-describedby": `now-${key}` }, base, over);
  const meaning = MEANINGS[key === "hh" ? "g" : key], stamp = L.stamp ? el("span", { class: "stamp" }, L.stamp) : null;
  const node = el("figure", {}, el("figcaption", {}, el("b", {}, key), ` ${array.name}`, meaning && el("span", { class: "soft" }, `: ${meaning}`), stamp), box,
    el("div", { class: "under" }, legend(array.scale, topOf(array)), now));
  let shape = "", source = null, whose = -1;
  const pick = event => {
    const area = box.getBoundingClientRect();
    select({ step: Math.floor((event.clientX - area.left) / area.width * L.T), unit: L.rows[clamp(Math.floor((event.clientY - area.top) / area.height * array.shape[1]), 0, array.shape[1] - 1)] });
  };
  on(box, "pointerdown", event => { pick(event); box.focus({ preventScroll: true }); });
  on(box, "pointermove", event => { if (event.buttons && event.pointerType === "mouse") pick(event); });
  return { node, of, update(repaint) {
    const wide = widthOf(box), rows = array.shape[1];
    const tall = clamp(rows * 3, Math.min(120, rows * 24), 260), { example: e, unit, step: t } = selection;
    if (repaint || shape !== `${wide} ${tall}` || whose !== e) {
      if (!source || repaint || whose !== e) source = picture(array, L, e);
      shape = `${wide} ${tall}`; whose = e;
      const g = sized(base, wide, tall);
      g.imageSmoothingEnabled = false;
      g.drawImage(source, 0, 0, wide, tall);
      const w = wide / L.T, h = tall / rows;
      if (array.scale === "diverging" && w >= 11 && h >= 11 && rows * L.T <= 2000) signs(g, array, e, w, h);
      if (L.mask) for (let k = 0; k < L.T; k++) if (!L.read(e, k)) veil(g, k * w, w, tall);
      box.style.height = tall + "px";
      box.setAttribute("aria-label", `${array.name} ${key}: ${plural(rows, "unit")} down, ${plural(L.T, "step")} to the right`);
    }
    const g = sized(over, wide, tall), w = wide / L.T, h = tall / rows, row = L.rowOf(unit);
    g.strokeStyle = theme.paper; g.lineWidth = 3.5;
    const x = t * w, y = row * h, cw = Math.max(w, 3), ch = Math.max(h, 3);
    const lines = () => { g.strokeRect(x, 0.5, cw, tall - 1); if (row < rows) g.strokeRect(0.5, y, wide - 1, ch); };
    lines(); g.strokeStyle = theme.focus; g.lineWidth = 1.5; lines();
    say(now, row < rows ? `unit ${unit + 1}, step ${t + 1}: ${key} = ${signed(...L.value(key, e, unit, t))}` : "");
  } };
}

// The sign inside cells that have room for it.
function signs(g, array, e, w, h) {
  const [, rows, steps] = array.shape, top = topOf(array);
  g.font = `${Math.min(13, h)}px sans-serif`; g.textAlign = "center"; g.textBaseline = "middle";
  for (let r = 0; r < rows; r++) for (let t = 0; t < steps; t++) {
    const value = array.at((e * rows + r) * steps + t);
    if (Math.abs(value) < top / 50) continue;
    g.fillStyle = Math.abs(value) > top * 0.6 ? theme.paper : theme.ink;
    g.fillText(Number.isNaN(value) ? "?" : value < 0 ? "−" : "+", (t + 0.5) * w, (r + 0.5) * h);
  }
}

// A masked step: hatched, because it was not read.
function veil(g, x, w, tall) {
  g.save();
  g.beginPath(); g.rect(x, 0, w, tall); g.clip();
  g.globalAlpha = 0.6; g.fillStyle = theme.paper; g.fillRect(x, 0, w, tall);
  g.globalAlpha = 0.9; g.strokeStyle = theme.soft; g.lineWidth = 1;
  for (let k = -tall; k < w + tall; k += 8) { g.beginPath(); g.moveTo(x + k, tall); g.lineTo(x + k + tall, 0); g.stroke(); }
  g.restore();
}

const TABLE_ROWS = 64;
function stepTable(caption, thead, tbody) {
  const { example: e, unit, step: t } = selection, n = L.rows.length;
  const from = clamp(L.rowOf(unit) - TABLE_ROWS / 2, 0, Math.max(0, n - TABLE_ROWS)), rows = L.rows.slice(from, from + TABLE_ROWS);
  say(caption, `Step ${t + 1}, example ${e + 1}${n > rows.length ? `: ${rows.length} of ${count(n)} units, around unit ${unit + 1}` : ""}${L.stamp ? ` (${L.stamp})` : ""}`);
  put(thead, el("tr", {}, el("th", { scope: "col" }, "unit"), L.keys.map(key => el("th", { scope: "col", class: "num" }, key))));
  put(tbody, rows.map(one => el("tr", { class: one === unit ? "lit" : "" }, el("th", { scope: "row" }, String(one + 1)),
    L.keys.map(key => el("td", { class: "num" }, L.rowOf(one) < L.arrays[key].shape[1] ? signed(...L.value(key, e, one, t)) : "")))));
}
