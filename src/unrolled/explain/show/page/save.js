// Taking things away: numbers as CSV, figures as SVG and PNG.
function download(words, type, suffix) {
  const url = URL.createObjectURL(words instanceof Blob ? words : new Blob([words], { type }));
  const link = el("a", { href: url, download: `${facts.title.replace(/[^\w-]+/g, "_").slice(0, 40) || "model"}-${L.facts.id}.${suffix}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 5000);
}

// Every number shown of the chosen example, with the digits that were stored.
function csv() {
  const e = chosen.example, lines = [`array,unit,${seq(L.T, t => `step ${t + 1}`).join()}`];
  for (const key of L.keys) for (const unit of L.rows) {
    if (!L.has(key, unit)) continue;
    lines.push([key, unit + 1, ...seq(L.T, t => plain(...L.value(key, e, unit, t)).replace("−", "-").replace("∞", "Infinity"))].join());
  }
  return `${L.stamp ? `# ${L.stamp}\n` : ""}${lines.join("\n")}\n`;
}

const staticFigure = () => new DOMParser().parseFromString(byId("static").textContent, "text/html").querySelector("svg");

function saveSvg() { download(new XMLSerializer().serializeToString(staticFigure()), "image/svg+xml", "svg"); }

function savePng() {
  const maps = all("#maps .heat canvas:first-child");
  if (!maps.length) return;
  const pad = 24, wide = max(...maps.map(map => map.width)), canvas = el("canvas", { width: wide + 2 * pad, height: maps.reduce((sum, map) => sum + map.height + 40, pad) });
  const g = canvas.getContext("2d");
  g.fillStyle = theme.paper; g.fillRect(0, 0, canvas.width, canvas.height);
  g.fillStyle = theme.ink; g.font = "16px sans-serif";
  let y = pad;
  L.keys.forEach((key, k) => {
    g.fillText(`${key} ${L.arrays[key].name}: units down, steps to the right${L.stamp ? ` (${L.stamp})` : ""}`, pad, y + 14);
    g.drawImage(maps[k], pad, y + 24);
    y += maps[k].height + 40;
  });
  canvas.toBlob(blob => download(blob, "image/png", "png"));
}
