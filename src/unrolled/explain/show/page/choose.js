// The bar that holds the chosen, the keyboard, and the live region.
const UNIT_PAGE = 10;
let playing = 0, spoken = 0;

view("bar", "unit step example bar", root => {
  const unit = byId("pick-unit"), step = byId("pick-step"), example = byId("pick-example"), layer = byId("pick-layer");
  on(unit, "change", () => { select({ unit: unit.value - 1 }); refresh("bar"); });
  on(step, "change", () => { select({ step: step.value - 1 }); refresh("bar"); });
  on(example, "change", () => select({ example: example.selectedIndex }));
  on(layer, "change", () => useLayer(layer.selectedIndex));
  for (const button of root.querySelectorAll("[data-by]")) on(button, "click", () => {
    const by = Number(button.dataset.by);
    if (button.closest(".units")) moveUnit(by); else select({ step: chosen.step + by });
  });
  on(byId("play"), "click", play);
  on(byId("help-open"), "click", openHelp);
  return changed => {
    if (changed.has("layer")) {
      layer.selectedIndex = chosen.layer;
      example.parentElement.hidden = L.E < 2;
      put(example, seq(L.E, k => el("option", {}, String(k + 1))));
      unit.max = L.rows[L.rows.length - 1] + 1;
      step.max = L.T;
      say(byId("of-unit"), `of ${count(L.drawn ? L.facts.trace.units.of : L.facts.U)}`);
      say(byId("of-step"), `of ${count(L.T)}`);
      byId("play").hidden = !L.drawn || L.T < 2;
    }
    unit.value = chosen.unit + 1;
    step.value = chosen.step + 1;
    example.selectedIndex = chosen.example;
    say(byId("now"), reading());
  };
});

// The states of the chosen unit at the chosen step, as words.
function reading() {
  if (!L.drawn) return "";
  const { example: e, unit, step } = chosen;
  const parts = L.states.filter(key => L.has(key, unit)).map(key => `${key} ${L.text(key, e, unit, step)}`);
  return parts.join("  ") + (L.read(e, step) ? "" : "  (masked)") + (L.stamp ? ` · ${L.stamp}` : "");
}

// At most one announcement in 0.8 s, and the last one is never lost.
function announce() {
  clearTimeout(spoken);
  spoken = setTimeout(() => {
    if (L) say(byId("live"), `unit ${chosen.unit + 1}, step ${chosen.step + 1}: ${reading()}`);
  }, 800);
}

function play() {
  const button = byId("play");
  if (playing) { clearInterval(playing); playing = 0; say(button, "▶ Play"); return; }
  if (!L || L.T < 2) return;
  say(button, "⏸ Pause");
  const next = () => {
    const by = L.back ? -1 : 1, end = L.back ? 0 : L.T - 1;
    if (chosen.step === end) { select({ step: L.T - 1 - end }, true); return; }
    select({ step: chosen.step + by }, true);
    if (chosen.step === end) play();
  };
  next();
  playing = setInterval(next, still.matches ? 900 : max(60, min(400, 12000 / L.T)));
}

function openHelp() { byId("help").showModal(); }
on(byId("help-close"), "click", () => byId("help").close());

// Arrows belong to the focused figure; single letters can be switched off in the help.
const MOVES = {
  ArrowLeft: () => select({ step: chosen.step - 1 }),
  ArrowRight: () => select({ step: chosen.step + 1 }),
  ArrowUp: () => moveUnit(-1),
  ArrowDown: () => moveUnit(1),
  PageUp: () => moveUnit(-UNIT_PAGE),
  PageDown: () => moveUnit(UNIT_PAGE),
  Home: () => select({ step: 0 }),
  End: () => select({ step: L.T - 1 }),
};
addEventListener("keydown", event => {
  if (!L || event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const at = event.target, inFigure = at.closest?.("[data-keys]");
  const typing = at.closest?.("[type=number], select");
  let act = inFigure && MOVES[event.key];
  if (!act && !typing && byId("letters").checked) {
    if ("1234".includes(event.key)) act = () => setZoom(Number(event.key));
    else if (event.key === "?") act = openHelp;
    else if (event.key === " " && !at.closest?.("button, summary, a, input")) act = play;
  }
  if (act) { event.preventDefault(); act(); }
});
