// Heat maps, units down and steps to the right, one per state and gate.
view("maps", "unit step example table", () => {
  const words = byId("maps-words"), grid = byId("maps-grid"), table = byId("step-numbers");
  const [caption, thead, tbody] = byId("step-table").children;
  on(table, "toggle", () => refresh("table"));
  for (const [id, act] of [["save-csv", () => download(csv(), "text/csv", "csv")], ["save-svg", saveSvg], ["save-png", savePng]]) on(byId(id), "click", act);
  let maps = [];
  return changed => {
    table.hidden = !L.drawn;
    if (changed.has("layer")) {
      const { trace } = L.facts, cut = L.drawn ? [trace.units.text, trace.steps.text, trace.examples.text, ...trace.notes].filter(Boolean) : [];
      maps = L.keys.map(heatMap);
      put(grid, maps.map(map => map.node));
      say(words, L.drawn ? `${cut.length ? `Shown: ${cut.join("; ")}. ` : ""}Every row is one unit, every column one step. ${sentence(trace.check.text)}` : `Not drawn: ${trace.why}.`);
    }
    for (const map of maps) map.update(["layer", "example", "theme", "size"].some(key => changed.has(key)));
    if (table.open && L.drawn) stepTable(caption, thead, tbody);
  };
});

function heatMap(key) {
  const array = L.arrays[key], rows = array.shape[1];
  const now = el("output", { class: "now", id: `now-${key}`, "aria-live": "off" });
  const label = `${array.name} ${key}: ${plural(rows, "unit")} down, ${plural(L.T, "step")} to the right`;
  const { box, paint, mark } = heat({ id: `heat-${key}`, tabindex: 0, role: "group", "aria-roledescription": "heat map", "data-keys": true, "aria-describedby": `now-${key}`, "aria-label": label });
  const node = el("figure", {}, el("figcaption", {}, el("b", {}, key), ` ${array.name}`, array.meaning && el("span", { class: "soft" }, `: ${array.meaning}`), L.stamp && el("span", { class: "stamp" }, L.stamp)), box,
    el("div", { class: "under" }, legend(array.scale, topOf(array)), now));
  const pick = event => {
    const area = boxOf(box);
    select({ step: floor((event.clientX - area.left) / area.width * L.T), unit: L.rows[clamp(floor((event.clientY - area.top) / area.height * rows), 0, rows - 1)] });
  };
  on(box, "pointerdown", event => { pick(event); box.focus({ preventScroll: true }); });
  on(box, "pointermove", event => { if (event.buttons && event.pointerType === "mouse") pick(event); });
  return { node, update(repaint) {
    const { example: e, unit, step: t } = chosen, row = L.rowOf(unit);
    if (repaint) {
      const tall = clamp(rows * 3, min(120, rows * 24), 260), [g, w, h] = paint(picture(array, L, e), tall, rows);
      if (array.scale === "diverging" && w >= 11 && h >= 11 && rows * L.T <= 2000) signs(g, array, e, w, h);
      veil(g, e, w, tall);
    }
    mark(t, row);
    say(now, L.has(key, unit) ? `unit ${unit + 1}, step ${t + 1}: ${key} = ${L.text(key, e, unit, t)}` : "");
  } };
}

// The sign inside cells that have room for it.
function signs(g, array, e, w, h) {
  const [, rows, steps] = array.shape, top = topOf(array);
  g.font = `${min(13, h)}px sans-serif`; g.textAlign = "center"; g.textBaseline = "middle";
  for (let r = 0; r < rows; r++) for (let t = 0; t < steps; t++) {
    const value = array.at((e * rows + r) * steps + t);
    if (abs(value) < top / 50) continue;
    g.fillStyle = abs(value) > top * 0.6 ? theme.paper : theme.ink;
    g.fillText(Number.isNaN(value) ? "?" : value < 0 ? "−" : "+", (t + 0.5) * w, (r + 0.5) * h);
  }
}

// Masked steps: hatched, because they were not read.
function veil(g, e, w, tall) {
  for (let t = 0; t < L.T; t++) if (!L.read(e, t)) {
    g.save();
    g.beginPath(); g.rect(t * w, 0, w, tall); g.clip();
    g.globalAlpha = 0.6; g.fillStyle = theme.paper; g.fillRect(t * w, 0, w, tall);
    g.globalAlpha = 0.9; g.strokeStyle = theme.soft; g.lineWidth = 1;
    for (let k = t * w - tall; k < t * w + w; k += 8) { g.beginPath(); g.moveTo(k, tall); g.lineTo(k + tall, 0); g.stroke(); }
    g.restore();
  }
}

const TABLE_ROWS = 64;
function stepTable(caption, thead, tbody) {
  const { example: e, unit, step: t } = chosen, n = L.rows.length;
  const from = clamp(L.rowOf(unit) - TABLE_ROWS / 2, 0, max(0, n - TABLE_ROWS)), rows = L.rows.slice(from, from + TABLE_ROWS);
  say(caption, `Step ${t + 1}, example ${e + 1}${n > rows.length ? `: ${rows.length} of ${count(n)} units, around unit ${unit + 1}` : ""}${L.stamp ? ` (${L.stamp})` : ""}`);
  put(thead, el("tr", {}, el("th", { scope: "col" }, "unit"), L.keys.map(key => el("th", { scope: "col", class: "num" }, key))));
  put(tbody, rows.map(one => el("tr", { class: one === unit ? "lit" : "" }, el("th", { scope: "row" }, String(one + 1)),
    L.keys.map(key => el("td", { class: "num" }, L.has(key, one) ? L.text(key, e, one, t) : "")))));
}
