// Small tools: elements, numbers as text, blobs. Text only ever enters the page as
// text nodes, so no name in a model can become markup.
const { assign, entries, fromEntries } = Object;
const { abs, floor, max, min, round } = Math;
const byId = id => document.getElementById(id);
const facts = JSON.parse(byId("facts").textContent);
const SVG = "http://www.w3.org/2000/svg";
const still = matchMedia("(prefers-reduced-motion: reduce)");

function fill(node, attributes, children = []) {
  for (const [key, value] of entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const sv = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const seq = (n, make) => Array.from({ length: n }, (_, k) => make(k));
const boxOf = node => node.getBoundingClientRect();
const on = (node, kind, act) => node.addEventListener(kind, act);
const HIDDEN = { "aria-hidden": "true" };
const all = query => [...document.querySelectorAll(query)];
const tx = (x, y, style, ...words) => sv("text", { x, y, class: style }, ...words);
const pa = (d, style) => sv("path", { d, class: style });
const bx = (x, y, width, height, style) => sv("rect", { x, y, width, height, class: style });
const put = (node, ...children) => { node.replaceChildren(...children.flat().filter(Boolean)); return node; };
const say = (node, words) => { if (node.textContent !== words) node.textContent = words; };

const count = value => value === null || value === undefined ? "?" : round(value).toLocaleString("en-US");
const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
const sentence = words => `${words[0].toUpperCase()}${words.slice(1)}.`;
const clamp = (value, low, high) => min(max(value, low), high);

// How many decimals a stored precision carries: half a last digit is never below it.
const decimals = precision => precision > 0 ? clamp(floor(-Math.log10(2 * precision)), 0, 7) : 7;

// A signed number with the digits its precision allows; + and - carry the sign.
function signed(value, precision) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+∞" : "−∞";
  let d = decimals(precision);
  if (!precision) d = clamp(6 - Math.ceil(Math.log10(abs(value) + 1e-9)), 0, 7);
  if (abs(value) >= 1e6) return (value < 0 ? "−" : "+") + abs(value).toExponential(2);
  const text = abs(value).toFixed(d);
  if (Number(text) === 0) return text;
  return (value < 0 ? "−" : "+") + text;
}
const plain = (value, precision) => signed(value, precision).replace(/^\+/, "");
const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";
const sub = n => String(n).replace(/\d/g, digit => SUBSCRIPTS[digit]);

// Bytes as text in base 91: thirteen bits to two characters (page_bytes.py).
const digit91 = code => code - 33 - (code > 34) - (code > 60) - (code > 92);
async function inflate({ data: text, bytes: size }) {
  const bytes = new Uint8Array(size);
  let bits = 0, held = 0, n = 0;
  for (let k = 0; k < text.length; k += 2) {
    held = (held << 13) | (digit91(text.charCodeAt(k)) * 91 + digit91(text.charCodeAt(k + 1)));
    bits += 13;
    while (bits > 7) { bits -= 8; bytes[n++] = held >> bits; held &= (1 << bits) - 1; }
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, power = (bits >> 10) & 31, part = bits & 1023;
  if (power === 31) return part ? NaN : sign * Infinity;
  return sign * (power ? 2 ** (power - 15) * (1 + part / 1024) : 2 ** -14 * (part / 1024));
}

// A blob as {shape, precision, at(k)}; `codes` keeps the bytes of u8d, which is all
// that a heat map needs.
async function decode(blob) {
  const raw = await inflate(blob), { code, shape, precision } = blob;
  const last = shape[shape.length - 1] || 1;
  if (code === "u8d") {
    for (let k = 0; k < raw.length; k++) if (k % last) raw[k] += raw[k - 1];
    const step = (blob.max - blob.min) / 252, values = new Float32Array(256);
    for (let k = 0; k < 253; k++) values[k] = blob.min + k * step;
    values.set([-Infinity, Infinity, NaN], 253);
    return { shape, precision, codes: raw, levels: values, at: k => values[raw[k]] };
  }
  if (code === "i32") { const ids = new Int32Array(raw.buffer); return { shape, precision, at: k => ids[k] }; }
  const view = new DataView(raw.buffer), size = code === "f32" ? 4 : 2;
  const values = new Float32Array(raw.length / size);
  for (let k = 0; k < values.length; k++) {
    if (code === "f32") values[k] = view.getFloat32(4 * k, true);
    else if (code === "f16") values[k] = half(view.getUint16(2 * k, true));
    else {
      const q = raw[k] | (view.getInt8(values.length + k) << 8); // low bytes, then high
      values[k] = q === -32768 ? NaN
        : blob.infinite && abs(q) === 32767 ? Math.sign(q) * Infinity : q * blob.scale;
    }
  }
  return { shape, precision, values, at: k => values[k] };
}
