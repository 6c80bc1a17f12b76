// The bar that holds the selection, the keyboard, and the live region.
const UNIT_PAGE = 10;
let playing = 0, spoken = 0;

view("bar", root => {
  const number = (id, label, on) => {
    const input = el("input", { id, type: "number", step: 1, inputmode: "numeric" });
    input.addEventListener("change", () => on(Number(input.value) | 0));
    const button = (by, text) => el("button", { type: "button", "aria-label": text, onclick: () => id === "pick-unit" ? moveUnit(by) : select({ step: selection.step + by }) }, by < 0 ? "−" : "+");
    const of = el("span", { class: "of" });
    const axis = id === "pick-unit" ? "units" : "steps";
    return { input, of, node: el("div", { class: `pick ${axis}` }, el("label", { for: id }, label), button(-1, `previous ${label}`), input, button(1, `next ${label}`), of) };
  };
  const unit = number("pick-unit", "unit", n => select({ unit: n - 1 }));
  const step = number("pick-step", "step", n => select({ step: n - 1 }));
  const example = el("select", { id: "pick-example", onchange: () => select({ example: example.selectedIndex }) });
  const exampleBox = el("div", { class: "pick batch" }, el("label", { for: "pick-example" }, "example"), example);
  const layer = el("select", { id: "pick-layer", onchange: () => useLayer(layer.selectedIndex) },
    facts.layers.map(one => el("option", {}, one.wrapper ? `${one.wrapper.name}: ${one.direction}` : one.name)));
  const layerBox = el("div", { class: "pick" }, el("label", { for: "pick-layer" }, "layer"), layer);
  layerBox.hidden = facts.layers.length < 2;
  const play = el("button", { type: "button", id: "play", onclick: togglePlay }, "▶ Play");
  const now = el("output", { id: "now", "aria-live": "off" });
  const help = el("button", { type: "button", id: "help-open", onclick: openHelp }, "? Help");
  put(root, layerBox, unit.node, step.node, exampleBox, play, now, help);
  return changed => {
    if (changed.has("layer")) {
      layer.selectedIndex = selection.layer;
      exampleBox.hidden = L.E < 2;
      put(example, Array.from({ length: L.E }, (_, k) => el("option", {}, String(k + 1))));
      const last = L.rows[L.rows.length - 1] + 1;
      Object.assign(unit.input, { min: 1, max: last });
      Object.assign(step.input, { min: 1, max: L.T });
      say(unit.of, `of ${count(L.facts.U)}`);
      say(step.of, `of ${count(L.T)}`);
      play.hidden = !L.drawn || L.T < 2;
    }
    unit.input.value = selection.unit + 1;
    step.input.value = selection.step + 1;
    example.selectedIndex = selection.example;
    say(now, reading());
  };
});

// The states of the chosen unit at the chosen step, as words.
function reading() {
  if (!L.drawn) return "";
  const { example: e, unit, step } = selection;
  const parts = L.states.filter(key => !Number.isNaN(L.value(key, e, unit, step)[0]) || L.arrays[key])
    .map(key => `${key} ${signed(...L.value(key, e, unit, step))}`);
  return parts.join("  ") + (L.read(e, step) ? "" : "  (masked)") + (L.stamp ? ` · ${L.stamp}` : "");
}

// At most one announcement in 0.8 s, and the last one is never lost.
function announce() {
  clearTimeout(spoken);
  spoken = setTimeout(() => {
    if (L) say(byId("live"), `unit ${selection.unit + 1}, step ${selection.step + 1}: ${reading()}`);
  }, 800);
}

function togglePlay() {
  const button = byId("play");
  if (playing) { clearInterval(playing); playing = 0; say(button, "▶ Play"); return; }
  if (!L || L.T < 2) return;
  say(button, "⏸ Pause");
  const next = () => {
    const by = L.back ? -1 : 1, end = L.back ? 0 : L.T - 1;
    if (selection.step === end) { select({ step: L.T - 1 - end }, true); return; }
    select({ step: selection.step + by }, true);
    if (selection.step === end) togglePlay();
  };
  next();
  playing = setInterval(next, still.matches ? 900 : Math.max(60, Math.min(400, 12000 / L.T)));
}

function openHelp() { byId("help").showModal(); }
byId("help-close").addEventListener("click", () => byId("help").close());

// Arrows belong to the focused figure; single letters can be switched off in the help.
const MOVES = {
  ArrowLeft: () => select({ step: selection.step - 1 }),
  ArrowRight: () => select({ step: selection.step + 1 }),
  ArrowUp: () => moveUnit(-1),
  ArrowDown: () => moveUnit(1),
  PageUp: () => moveUnit(-UNIT_PAGE),
  PageDown: () => moveUnit(UNIT_PAGE),
  Home: () => select({ step: 0 }),
  End: () => select({ step: L.T - 1 }),
};
addEventListener("keydown", event => {
  if (!L || event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const at = event.target, inFigure = at.closest && at.closest("[data-keys]");
  const typing = at.closest && at.closest("input, select, textarea");
  let act = inFigure && MOVES[event.key];
  if (!act && !typing && byId("letters").checked) {
    if ("1234".includes(event.key)) act = () => setZoom(Number(event.key));
    else if (event.key === "?") act = openHelp;
    else if (event.key === " " && !(at.closest && at.closest("button, summary, a"))) act = togglePlay;
  }
  if (act) { event.preventDefault(); act(); }
});
