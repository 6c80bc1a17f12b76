// State arrows beside the model strip, then the first layer.
view("strip", "", root => {
  const gutter = root.querySelector(".gutter");
  return () => {
    const box = boxOf(gutter), rows = id => root.querySelector(`[data-node="${id}"]`);
    put(gutter, facts.strip.edges.filter(edge => edge.kind !== "data").map((edge, k) => {
      const a = rows(edge.from), b = rows(edge.to);
      if (!a || !b) return null;
      const y = node => boxOf(node).top - box.top + 24, x = 26 - (k % 3) * 9;
      const d = a === b ? `M36 ${y(a) - 8}H${x}v20h6` : `M36 ${y(a)}H${x}V${y(b)}h6`;
      return sv("path", { d, class: "rail" });
    }));
    for (const row of root.querySelectorAll("[data-node]")) row.classList.toggle("current", L.facts.node === row.dataset.node);
  };
});
for (const button of all("[data-use]")) {
  button.hidden = false;
  on(button, "click", () => useLayer(facts.layers.findIndex(one => one.id === button.dataset.use)));
}

// What is scrolled to stays clear of the bar, however many lines it has; what is wider
// than its frame says that it scrolls.
const frames = all(".scroll, .ledger, pre.code"), bar = all("#bar");
const measure = new ResizeObserver(() => {
  for (const one of bar) document.documentElement.style.scrollPaddingTop = `${(getComputedStyle(one).position === "sticky") * one.offsetHeight + 16}px`;
  for (const node of frames) node.classList.remove("more"); // the words have a width of their own
  const cut = frames.map(node => node.scrollWidth > node.clientWidth + 1);
  frames.forEach((node, k) => node.classList.toggle("more", cut[k]));
});
for (const node of [...bar, ...frames, ...frames.flatMap(one => [...one.children])]) measure.observe(node);

async function start() {
  document.documentElement.classList.add("live");
  if (!facts.layers.length) return;
  readTheme();
  for (const input of facts.inputs) ids.push(input.kind === "tokens" && input.values ? await decode(input.values) : null);
  await useLayer(0);
  requestAnimationFrame(() => performance.measure("unrolled:ready"));
}
const ids = []; // the token ids of each input
// Read-only access for those who look underneath, and for the tests.
window.unrolled = { selection: chosen, select, setZoom, useLayer, idle, get layer() { return L; }, baseline, csv };
start().catch(error => {
  document.documentElement.classList.remove("live");
  const found = staticFigure();
  if (found) byId("zoom").append(found);
  say(byId("failed"), `The interactive part did not start: ${error.message}. Words and figure hold all the same.`);
});
