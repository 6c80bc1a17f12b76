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
  for (const [scale, [key, n]] of Object.entries(MAPS)) {
    theme[scale] = Array.from({ length: n }, (_, k) => rgb(get(key + k)));
  }
  theme.shades = {};
  for (const scale in MAPS) theme.shades[scale] = Array.from({ length: 81 }, (_, k) => `rgb(${ramp(scale, k / 80)})`);
  luts.clear();
  strips.clear();
}

function ramp(scale, share) {
  const stops = theme[scale], place = clamp(share, 0, 1) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2), part = place - low;
  return stops[low].map((value, k) => Math.round(value + (stops[low + 1][k] - value) * part));
}

// The largest magnitude of a diverging array; gates run from 0 to 1.
const topOf = array => Math.max(Math.abs(array.blob.min), Math.abs(array.blob.max)) || 1;
const shareOf = (value, scale, top) => scale === "sequential" ? value : value / top / 2 + 0.5;
function colour(value, scale, top) {
  if (!Number.isFinite(value)) return theme.missing;
  return theme.shades[scale][Math.round(clamp(shareOf(value, scale, top), 0, 1) * 80)];
}

const luts = new Map();
function lutOf(array, layer) {
  const key = layer.facts.id + array.key;
  if (luts.has(key)) return luts.get(key);
  const top = topOf(array), lut = new Uint32Array(256);
  for (let code = 0; code < 256; code++) {
    const value = array.levels[code];
    const [r, g, b] = Number.isFinite(value)
      ? ramp(array.scale, shareOf(value, array.scale, top)) : rgb(theme.missing);
    lut[code] = (255 << 24) | (b << 16) | (g << 8) | r; // little-endian RGBA
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
function pictureOf(rows, steps, value, scale, top, stops = scale) {
  const image = new ImageData(Math.max(steps, 1), Math.max(rows, 1));
  for (let r = 0; r < rows; r++) for (let t = 0; t < steps; t++) {
    const v = value(r, t);
    const parts = Number.isFinite(v) ? ramp(stops, shareOf(v, scale, top)) : rgb(theme.missing);
    image.data.set([...parts, 255], 4 * (r * steps + t));
  }
  return canvasOf(image);
}

function canvasOf(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// Drawn strips, kept: moving the selection draws only what is new.
const strips = new Map();
function kept(key, make) {
  if (!strips.has(key)) strips.set(key, make());
  return strips.get(key);
}

// A column of units as SVG: runs of equal colour become one rectangle each.
function strip(values, x, y, w, h, scale, top, frame) {
  const group = sv("g", { class: "strip" });
  const n = values.length, most = Math.max(1, Math.min(n, Math.floor(h))), tall = h / most;
  for (let k = 0; k < most;) {
    const paint = colour(values[Math.floor(k * n / most)], scale, top);
    let end = k + 1;
    while (end < most && colour(values[Math.floor(end * n / most)], scale, top) === paint) end++;
    group.append(sv("rect", { x, y: y + k * tall, width: w, height: (end - k) * tall + 0.3, fill: paint }));
    k = end;
  }
  group.append(sv("rect", { x, y, width: w, height: h, fill: "none", class: `frame ${frame || "units"}` }));
  return group;
}

// The same area where nothing was traced: the pattern of its axis.
const patch = (x, y, w, h, axis) => sv("rect", { x, y, width: w, height: h, fill: `url(#pp-${axis})`, class: `frame ${axis}` });

// What step t reads; an input without negative numbers is a ramp of greys.
function inputStrip(e, t, x, y, w, h) {
  if (!L.input) return patch(x, y, w, h, "features");
  const { gray, top } = L.range;
  return kept([x, y, w, e, t].join(), () => strip(Array.from({ length: L.facts.D }, (_, d) => L.x(e, t, d) / (gray ? top : 1)), x, y, w, h, gray ? "sequential" : "diverging", top, "features"));
}

function legend(scale, top) {
  const bar = el("canvas", { class: "ramp", width: 96, height: 1, "aria-hidden": "true" });
  bar.getContext("2d").drawImage(pictureOf(1, 96, (_, k) => k / 95, "sequential", 1, scale), 0, 0);
  const most = top.toPrecision(2), ends = scale === "sequential" ? ["0", "1"] : ["−" + most, "+" + most];
  return el("span", { class: "legend" }, ends[0], bar, ends[1]);
}

// Draw onto a canvas at the screen's own resolution.
function sized(canvas, width, height) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w; canvas.height = h;
    canvas.style.width = width + "px"; canvas.style.height = height + "px";
  }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  return g;
}

for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
  on(matchMedia(query), "change", () => { readTheme(); refresh("theme"); });
}
addEventListener("resize", () => { widths = new WeakMap(); refresh("size"); });
