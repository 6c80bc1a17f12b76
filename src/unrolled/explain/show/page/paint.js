// Numbers as colours. Both maps come from style.py through custom properties; a
// table of 256 colours is made once per theme and array.
let theme = null;
const MAPS = { diverging: ["dv", 7], sequential: ["sq", 6] };
const rgb = hex => [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const get = key => style.getPropertyValue("--" + key).trim();
  theme = { missing: get("missing"), ink: get("ink"), soft: get("soft"), paper: get("paper"),
    rule: get("rule"), focus: get("focus"), units: get("units-fill"), steps: get("steps-fill") };
  for (const [scale, [key, n]] of entries(MAPS)) {
    theme[scale] = seq(n, k => rgb(get(key + k)));
  }
  theme.shades = {}; theme.codes = {};
  for (const scale in MAPS) {
    theme.shades[scale] = seq(81, k => `rgb(${ramp(scale, k / 80)})`);
    theme.codes[scale] = Uint32Array.from(seq(256, k => packed(ramp(scale, k / 255))));
  }
  luts.clear();
  strips.clear();
}

const packed = ([r, g, b]) => (255 << 24) | (b << 16) | (g << 8) | r; // little-endian RGBA
function ramp(scale, share) {
  const stops = theme[scale], place = clamp(share, 0, 1) * (stops.length - 1);
  const low = min(floor(place), stops.length - 2), part = place - low;
  return stops[low].map((value, k) => round(value + (stops[low + 1][k] - value) * part));
}

// The largest magnitude of a diverging array; gates run from 0 to 1.
const topOf = array => max(abs(array.blob.min), abs(array.blob.max)) || 1;
const shareOf = (value, scale, top) => scale === "sequential" ? value : value / top / 2 + 0.5;
function colour(value, scale, top) {
  if (!Number.isFinite(value)) return theme.missing;
  return theme.shades[scale][round(clamp(shareOf(value, scale, top), 0, 1) * 80)];
}

const luts = new Map();
function lutOf(array, layer) {
  const key = layer.facts.id + array.key;
  if (luts.has(key)) return luts.get(key);
  const top = topOf(array), lut = new Uint32Array(256);
  for (let code = 0; code < 256; code++) {
    const value = array.levels[code];
    lut[code] = packed(Number.isFinite(value) ? ramp(array.scale, shareOf(value, array.scale, top)) : rgb(theme.missing));
  }
  luts.set(key, lut);
  return lut;
}

// A units x steps picture, one pixel a value, painted from the stored bytes.
function picture(array, layer, e) {
  const [, rows, steps] = array.shape, lut = lutOf(array, layer);
  const image = new ImageData(steps, rows), pixels = new Uint32Array(image.data.buffer);
  const from = e * rows * steps;
  for (let k = 0; k < pixels.length; k++) pixels[k] = lut[array.codes[from + k]];
  return canvasOf(image);
}

// The same for plain numbers [row][step].
function pictureOf(rows, steps, value, scale, top) {
  const image = new ImageData(max(steps, 1), max(rows, 1)), pixels = new Uint32Array(image.data.buffer);
  const codes = theme.codes[scale], none = packed(rgb(theme.missing));
  for (let r = 0, k = 0; r < rows; r++) for (let t = 0; t < steps; t++, k++) {
    const v = value(r, t);
    pixels[k] = Number.isFinite(v) ? codes[round(clamp(shareOf(v, scale, top), 0, 1) * 255)] : none;
  }
  return canvasOf(image);
}

// One canvas for all of them: each is drawn where it belongs before the next is made.
const scratch = document.createElement("canvas"), brush = scratch.getContext("2d");
function canvasOf(image) {
  assign(scratch, { width: image.width, height: image.height });
  brush.putImageData(image, 0, 0);
  return scratch;
}

// Drawn strips, kept: moving the chosen draws only what is new.
const strips = new Map();
function kept(key, make) {
  if (!strips.has(key)) strips.set(key, make());
  return strips.get(key);
}

// A column of numbers as SVG, one wide and one high: a path per colour.
const MOST_ROWS = 240;
function strip(values, scale, top) {
  const n = values.length, most = min(n, MOST_ROWS), paths = {}, shade = k => colour(values[floor(k * n / most)], scale, top);
  for (let k = 0, end = 1; k < most; k = end++) {
    const paint = shade(k);
    while (end < most && shade(end) === paint) end++;
    paths[paint] = `${paths[paint] || ""}M0 ${k}h1v${end - k}h-1z`;
  }
  return sv("g", { transform: `scale(1 ${1 / most})`, "shape-rendering": "crispEdges" }, entries(paths).map(([fill, d]) => sv("path", { d, fill })));
}

// Where a strip is shown, and its frame; the strip can be changed for another.
const slot = (x, y, w, h, strip) => sv("g", { class: "strip", transform: `translate(${x} ${y}) scale(${w} ${h})` }, strip);
const framed = (x, y, w, h, axis, strip) => [slot(x, y, w, h, strip), fill(bx(x, y, w, h, `frame ${axis}`), { fill: "none" })];

// A state or gate at step t; outside of the sequence, the state it starts from.
const columnOf = (key, e, t) => kept(`${key} ${e} ${t}`, () => {
  const { scale, shape } = L.arrays[key];
  return strip(L.rows.slice(0, shape[1]).map(unit => (t < 0 || t === L.T ? L.before(key, e, unit, t < 0 ? 0 : t - 1) : L.value(key, e, unit, t))[0]), scale, topOf(L.arrays[key]));
});

// The same area where nothing was traced: the pattern of its axis.
const patch = (x, y, w, h, axis) => sv("rect", { x, y, width: w, height: h, fill: `url(#pp-${axis})`, class: `frame ${axis}` });

// What step t reads; an input without negative numbers is a ramp of greys.
function inputOf(e, t) {
  const { gray, top } = L.range;
  return kept(`x ${e} ${t}`, () => strip(seq(L.facts.D, d => L.x(e, t, d) / (gray ? top : 1)), gray ? "sequential" : "diverging", top));
}

// What it reads beside its features, and what that is called.
function besideOf(e, t) {
  const { beside, facts, T } = L, wide = beside.shape[2];
  return kept(`beside ${e} ${t}`, () => strip(seq(wide, d => beside.at((e * T + t) * wide + d)), "diverging", topOf({ blob: facts.trace.beside })));
}
const moreName = ({ beside }) => beside.name || `${count(beside.size)} more`;

function legend(scale, top) {
  const most = top.toPrecision(2), ends = scale === "sequential" ? ["0", "1"] : ["−" + most, "+" + most];
  return el("span", { class: "legend" }, ends[0], el("i", { class: `ramp ${scale}` }), ends[1]);
}

// Draw onto a canvas at the screen's own resolution.
function sized(canvas, width, height) {
  const ratio = min(devicePixelRatio || 1, 2);
  const w = max(1, round(width * ratio)), h = max(1, round(height * ratio)), g = canvas.getContext("2d");
  if (canvas.width !== w || canvas.height !== h) {
    assign(canvas, { width: w, height: h });
    assign(canvas.style, { width: width + "px", height: height + "px" });
  }
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  g.imageSmoothingEnabled = false;
  return g;
}

// A picture of rows x steps; the marks of the chosen row and column lie over it, so
// moving them repaints nothing.
function heat(attributes) {
  const canvas = el("canvas", HIDDEN), column = el("i"), row = el("i");
  const box = el("div", { class: "heat", ...attributes }, canvas, column, row);
  let w = 0, h = 0, n = 0;
  return { box, paint(source, tall, rows) {
    n = rows;
    const wide = widthOf(box), g = sized(canvas, wide, tall);
    g.drawImage(source, 0, 0, wide, tall);
    w = wide / L.T; h = tall / rows;
    assign(column.style, { width: max(w, 3) + "px", height: "100%" });
    assign(row.style, { width: "100%", height: max(h, 2) + "px" });
    box.style.height = tall + "px";
    return [g, w, h];
  }, mark(t, k) {
    column.style.transform = `translate(${t * w}px)`;
    row.hidden = k >= n;
    row.style.transform = `translate(0,${k * h}px)`;
  } };
}

for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
  on(matchMedia(query), "change", () => { readTheme(); refresh("theme"); });
}
addEventListener("resize", () => { widths = new WeakMap(); refresh("size"); });
