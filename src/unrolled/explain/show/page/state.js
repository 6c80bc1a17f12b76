// One chosen for the whole page, and who hears of it. A view is a function that
// draws what changed; it runs at most once a frame, only while it can be seen, and only
// for what it follows.
const chosen = { layer: 0, unit: 0, step: 0, example: 0, zoom: 2 };
let L = null; // the data of the selected layer (layer.js)
const views = [], resets = []; // resets: controls that start anew with a layer
const ALWAYS = ["layer", "theme", "size"];
let due = false, drawing = 0; // a frame that is asked for; views that still compute

function view(id, follows, build) {
  const root = byId(id);
  if (!root) return;
  const entry = { root, update: build(root), follows: [...ALWAYS, ...follows.split(" ")], seen: false, why: new Set() };
  views.push(entry);
  watcher.observe(root);
}

const watcher = new IntersectionObserver(entries => {
  for (const change of entries) {
    const entry = views.find(one => one.root === change.target);
    entry.seen = change.isIntersecting;
    if (entry.seen) soon();
  }
}, { rootMargin: "200px" });

// Widths are read once, not in the middle of drawing: that would lay out the page.
let widths = new WeakMap();
function widthOf(node) {
  if (!widths.get(node)) widths.set(node, node.clientWidth);
  return widths.get(node);
}

function soon() {
  if (!due) { due = true; requestAnimationFrame(frame); }
}

function frame() {
  due = false;
  if (L) for (const entry of views) if (entry.seen) draw(entry);
}

async function draw(entry) {
  const changed = entry.why;
  entry.why = new Set();
  if (!changed.size) return;
  drawing++;
  try { await entry.update(changed); } finally { drawing--; }
}
const idle = () => !due && !drawing;

// Change the chosen; values are brought into range, so callers need not.
function select(change, quiet) {
  const next = { ...chosen, ...change };
  if (L) {
    next.step = clamp(next.step | 0, 0, L.T - 1);
    next.example = clamp(next.example | 0, 0, L.E - 1);
    if (L.rowOf(next.unit) < 0) next.unit = chosen.unit;
  }
  const why = Object.keys(next).filter(key => next[key] !== chosen[key]);
  assign(chosen, next);
  if (why.length && !quiet) announce();
  refresh(...why);
}

function refresh(...why) {
  for (const { follows, why: all } of views) for (const one of why) if (follows.includes(one)) all.add(one);
  soon();
}

// The next unit that is drawn, up or down.
function moveUnit(by) {
  select({ unit: L.rows[clamp(L.rowOf(chosen.unit) + by, 0, L.rows.length - 1)] });
}

// What is below the fold is drawn too, one view at a time, once the rest stands.
function warm(layer) {
  const entry = views.find(one => one.why.size);
  if (!entry || layer !== L) return;
  draw(entry);
  setTimeout(warm, 20, layer);
}

async function useLayer(index) {
  const next = await layerData(index);
  L = next;
  strips.clear();
  assign(chosen, { layer: index, unit: L.best, step: L.firstStep, example: 0 });
  for (const panel of all("[data-layer]"))
    panel.hidden = !panel.dataset.layer.split(" ").includes(L.facts.id);
  for (const reset of resets) reset();
  refresh("layer");
  setTimeout(warm, 60, L);
}
