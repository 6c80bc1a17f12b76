// "Show me": every claim leads to the control or picture that answers it: a zoom, or
// an element and what to do with it.
const tryMode = mode => ["tryout", () => byId(`t-${mode}`).click()];
const SHOW = {
  steps_slider: ["w-steps", () => slide("steps", 2)], axis_chips: ["chips"],
  unroll: ["zoom", () => { setZoom(1); setTimeout(() => setZoom(2), still.matches ? 0 : 700); }],
  unit_click: 4, cell_box: 1,
  cut_off_diagonal: tryMode("apart"), figure_row: ["ledger"], strips: 3,
  output_colour: 3,
  return_toggle: ["flag-return_sequences", () => { setZoom(2); byId("flag-return_sequences").click(); }],
  fan_in: 4, kernel_scale: ["w-features", () => slide("features", 2)], formula: ["formula"],
  rails: 3, side_by_side: ["beside"], counters: ["counters"], rows: ["rows"],
  blank_step: tryMode("change"), zero_or_mask: tryMode("mask"),
  upstream: ["strip"], state_arrow: ["strip"], two_axes: 2,
  units_slider: ["w-units", () => slide("units", 2)], two_batches: ["two-batches"], code: ["code"], configuration: ["configuration"],
};

function slide(key, times) {
  const input = byId(`w-${key}`), now = { steps: L.facts.T.value || 10, features: L.facts.D, units: L.facts.U }[key];
  input.value = now * times;
  input.dispatchEvent(new Event("input"));
}

function show(kind) {
  const goal = SHOW[kind], [id, act] = goal > 0 ? ["zoom", () => setZoom(goal)] : goal;
  // Panels that exist once per layer carry the layer's id.
  const target = byId(`${id}-${L.facts.id}`) || byId(id);
  if (!target) return;
  const frame = target.closest("section, .panel") || target;
  if (act) act();
  // With its heading, unless what is meant would then be below the fold.
  const far = target.matches("input") && boxOf(target).bottom - boxOf(frame).top > innerHeight * 0.8;
  (far ? target : frame).scrollIntoView({ behavior: still.matches ? "auto" : "smooth", block: far ? "center" : "start" });
  const focus = target.matches("input") ? target : target.querySelector("[data-keys], input:checked") || target;
  if (!focus.matches("a, button, input, summary, [tabindex]")) focus.tabIndex = -1;
  focus.focus({ preventScroll: true });
  flash(frame);
}

for (const button of all("[data-show]")) {
  button.hidden = !facts.layers.length;
  on(button, "click", () => show(button.dataset.show));
}

// One frame is lit at a time, and for its whole while.
let lit = null, fading = 0;
function flash(frame) {
  clearTimeout(fading);
  if (lit) lit.classList.remove("flash");
  lit = frame;
  lit.classList.add("flash");
  fading = setTimeout(() => lit.classList.remove("flash"), 1600);
}
