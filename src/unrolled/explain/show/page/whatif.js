// What changes if: four sizes to move, four numbers that move or stay.
view("whatif", "unit whatif", root => {
  const inputs = fromEntries(["steps", "features", "units", "batch"].map(key => [key, byId(`w-${key}`)]));
  const back = byId("w-back"), scale = byId("w-scale"), plot = byId("w-plot"), ran = byId("w-ran"), formula = byId("w-formula");
  let base = null;
  for (const input of Object.values(inputs)) on(input, "input", () => refresh("whatif"));
  const reset = () => {
    const f = L.facts, known = f.numbers.formula;
    base = { steps: f.T.value || 10, features: f.D, units: f.U, batch: f.B.value || 1 };
    for (const [key, input] of entries(inputs)) {
      input.max = max(base[key] * 4, 16);
      input.value = base[key];
      input.disabled = !known && (key === "features" || key === "units");
    }
    refresh("whatif");
  };
  resets.push(reset);
  on(back, "click", reset);
  return changed => {
    const f = L.facts, known = f.numbers.formula;
    const now = fromEntries(entries(inputs).map(([key, input]) => [key, Number(input.value)]));
    scale.parentNode.hidden = !known;
    put(scale, known ? toScale(f, now, base) : []);
    if (changed.size === 1 && changed.has("unit")) return;
    const start = amounts(f, base), moved = amounts(f, now);
    for (const [key, input] of entries(inputs)) {
      say(byId(`w-${key}-now`), count(now[key]));
      input.setAttribute("aria-valuetext", `${count(now[key])} ${key}`);
    }
    for (const key of Object.keys(moved)) {
      const tr = byId(`w-${key}`), ratio = moved[key] / start[key], same = moved[key] === start[key];
      const cells = tr.children;
      tr.hidden = moved[key] === null; // what no formula says is not guessed
      if (tr.hidden) continue;
      say(cells[1], count(moved[key]));
      say(cells[2], same ? "stays" : `moves: × ${ratio.toFixed(ratio < 10 ? 2 : 0)}`);
      tr.className = same ? "stays" : "moves";
    }
    say(formula, known ? `weights = ${known.G} × ${count(now.units)} × (${known.window > 1 ? `${known.window} × ` : ""}(${count(now.features)} + ${count(now.units)})${known.bias_rows ? ` + ${known.bias_rows}` : ""}) = ${count(moved.weights)}. There is no T in it, and no B.` : "This cell's formula is not known; its weights were counted. T and B do not enter.");
    const tests = ["steps", "units", "features"].flatMap(key => f.experiments[`other_${key}`] || []);
    ran.previousElementSibling.hidden = !tests.length;
    put(ran, tests.map(one => el("li", { class: one.ran ? "ran" : "" }, one.text || one.why)));
    put(plot, known ? sweep(f, now) : []);
  };
});

function amounts(f, { steps, features, units, batch }) {
  const { formula: known, params, state_per_example: per } = f.numbers, kept = f.states.length, many = f.config.return_sequences ? steps : 1;
  if (!known) return { weights: params, state: batch * per, output: batch * many * f.P, compute: null };
  const { G, window: w, bias_rows: b } = known, terms = w * (features + units), row = batch * per / kept / f.U; // for each position of an image
  return { weights: G * units * (terms + b), state: row * kept * units, output: row * many * (units + f.P - f.U), compute: row * steps * G * units * terms };
}

// The weights to scale, turned so that units run down: one row of each block is one
// unit's; its columns read the features, then all of h, then the bias.
function toScale(f, now, base) {
  const { G, bias_rows: b } = f.numbers.formula, wide = 300, tall = 200;
  const most = max(now.units + now.features, base.units + base.features), high = max(now.units, base.units) * G;
  const k = min((wide - 16) / most, (tall - 10 * G) / high), row = L.rowOf(chosen.unit) / max(f.U, 1);
  const svg = sv("svg", { viewBox: `0 0 ${wide} ${tall + 30}`, class: "figure small-figure", role: "img", "aria-label": `${G} blocks of ${now.units} rows, ${now.features} + ${now.units} columns` });
  for (let g = 0, y = 18; g < G; g++) {
    const h = max(now.units * k, 1), fw = max(now.features * k, 1), uw = max(now.units * k, 1);
    svg.append(patch(0, y, fw, h, "features"), patch(fw + 2, y, uw, h, "units"));
    if (b) svg.append(bx(fw + uw + 4, y, 2, h, "frame soft"));
    svg.append(bx(-1, y + row * h, fw + uw + 8, max(h / now.units, 1.5), "lit"),
      tx(fw + uw + 12, y + min(h, 13), "tiny", f.gates[g].key));
    y += h + 4;
  }
  svg.append(tx(0, 12, "tiny features-ink", `D = ${count(now.features)}`), tx(76, 12, "tiny units-ink", `U = ${count(now.units)} down and across`));
  return svg;
}

function sweep(f, now) {
  const points = f.experiments.sweep || [], wide = 300, tall = 170;
  if (points.length < 2) return [];
  const mx = max(now.units, points[points.length - 1].units), total = u => amounts(f, { steps: 1, batch: 1, features: now.features, units: u }).weights;
  const x = u => 8 + u / mx * (wide - 20), y = v => tall - 24 - v / total(mx) * (tall - 50);
  const d = seq(41, k => k / 40 * mx).map((u, k) => `${k ? "L" : "M"}${x(u).toFixed(1)} ${y(total(u)).toFixed(1)}`).join("");
  return sv("svg", { viewBox: `0 0 ${wide} ${tall}`, class: "figure small-figure", role: "img", "aria-label": `Weights against units: ${count(total(now.units))} at ${now.units} units` },
    pa(`M8 ${tall - 24}H${wide - 8}`, "wire soft"), pa(d, "wire units"),
    sv("circle", { cx: x(now.units), cy: y(total(now.units)), r: 5, class: "dot" }),
    tx(clamp(x(now.units) - 8, 90, wide), max(y(total(now.units)) - 10, 14), "strong", count(total(now.units))),
    tx(8, tall - 6, "tiny", "units →"), tx(wide - 8, tall - 6, "tiny end", count(mx)));
}
