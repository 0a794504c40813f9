/** The embedding as files: a picture, a vector picture, a table. */
import { csvOf, escapeXml, pngOf } from "../../parts/download";
import { AMOUNT, colourAt, css } from "../../parts/scales";
import { className, rounded } from "../../parts/words";
import { app } from "../../state/app.svelte";
import { METHODS, type Model } from "./model.svelte";
import type { Plot } from "./plot.svelte";
import { NORMAL, SELECTED, SHADOW } from "./renderer";

/** More points make a vector picture that no program opens. */
const MOST_IN_SVG = 200_000;
const COLUMN = 190;

export function captionOf(model: Model): string {
  const meta = model.loaded?.meta;
  if (!meta) return "";
  const measures = meta.measures.map(({ title, text }) => `${title} ${text}`).join(", ");
  return `${METHODS[meta.method] ?? meta.method} of ${meta.layer}, ${meta.images} images${measures ? `: ${measures}` : ""}`;
}

/** The canvas as it is, with its legend and a caption. */
export async function picture(model: Model, plot: Plot, canvas: HTMLCanvasElement): Promise<Blob> {
  plot.draw(true);
  const ratio = canvas.width / plot.width;
  const out = document.createElement("canvas");
  out.width = canvas.width + COLUMN * ratio;
  out.height = canvas.height + 34 * ratio;
  const context = out.getContext("2d");
  if (!context) throw new Error("The picture could not be made: this browser gives no canvas.");
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--page");
  context.fillRect(0, 0, out.width, out.height);
  context.drawImage(canvas, 0, 0);
  context.scale(ratio, ratio);
  context.fillStyle = style.getPropertyValue("--ink");
  context.font = '12px "DejaVu Sans", Verdana, sans-serif';
  context.fillText(captionOf(model), 8, plot.height + 22, plot.width + COLUMN - 16);
  legendRows(model).forEach(({ colour, text }, k) => {
    context.fillStyle = colour ?? style.getPropertyValue("--ink");
    if (colour) context.fillRect(plot.width + 8, 10 + 18 * k, 11, 11);
    context.fillStyle = style.getPropertyValue("--ink");
    context.fillText(text, plot.width + (colour ? 26 : 8), 20 + 18 * k, COLUMN - 34);
  });
  return pngOf(out);
}

function legendRows(model: Model): { colour: string | null; text: string }[] {
  const legend = model.coloured?.legend;
  if (!legend) return [];
  if (legend.type === "kinds") {
    const rows = legend.kinds.slice(0, 30).map(({ colour, name, count }) => ({ colour, text: `${name} (${count})` }));
    return legend.kinds.length > 30 ? [...rows, { colour: null, text: `and ${legend.kinds.length - 30} more` }] : rows;
  }
  return [0, 0.25, 0.5, 0.75, 1].map((share) => ({
    colour: css(colourAt(AMOUNT, share)),
    text: `${model.colouring} ${rounded(legend.low + share * (legend.high - legend.low))}`,
  }));
}

/** The points in sight as circles. */
export function vector(model: Model, plot: Plot): string {
  const { loaded, flags, coloured } = model;
  if (!loaded || !coloured) throw new Error("There are no points yet.");
  if (loaded.numbers.length > MOST_IN_SVG)
    throw new Error(`${loaded.numbers.length} points are too many for a vector picture: save it as PNG.`);
  const height = plot.height + 34;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${plot.width + COLUMN}" height="${height}" viewBox="0 0 ${plot.width + COLUMN} ${height}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">`,
    `<title>${escapeXml(captionOf(model))}</title>`,
  ];
  for (const which of [SHADOW, NORMAL, SELECTED]) lines.push(...circles(loaded.points, flags, which, coloured.colours, plot));
  lines.push(`<text x="8" y="${plot.height + 22}">${escapeXml(captionOf(model))}</text>`);
  legendRows(model).forEach(({ colour, text }, k) => {
    if (colour) lines.push(`<rect x="${plot.width + 8}" y="${10 + 18 * k}" width="11" height="11" fill="${colour}"/>`);
    lines.push(`<text x="${plot.width + (colour ? 26 : 8)}" y="${20 + 18 * k}">${escapeXml(text)}</text>`);
  });
  return `${lines.join("\n")}\n</svg>\n`;
}

function circles(points: Float32Array, flags: Uint8Array, which: number, colours: Uint8Array, plot: Plot): string[] {
  const radius = ((which === SELECTED ? 1.5 : which === SHADOW ? 0.7 : 1) * plot.size) / 2;
  const lines = [`<g ${which === SHADOW ? 'fill="#999999" fill-opacity="0.25"' : `fill-opacity="${plot.opacity}"`}>`];
  for (let k = 0; k < flags.length; k++) {
    if (flags[k] !== which) continue;
    const at = plot.where(points[3 * k], points[3 * k + 1], points[3 * k + 2]);
    if (!at || at[0] < 0 || at[1] < 0 || at[0] > plot.width || at[1] > plot.height) continue;
    const fill = which === SHADOW ? "" : ` fill="rgb(${colours[4 * k]},${colours[4 * k + 1]},${colours[4 * k + 2]})"`;
    lines.push(`<circle cx="${at[0].toFixed(2)}" cy="${at[1].toFixed(2)}" r="${radius.toFixed(2)}"${fill}/>`);
  }
  return [...lines, "</g>"];
}

/** A line a point: the image, where it lies, and what is known of it. */
export function table(model: Model): string {
  const { loaded, flags } = model;
  if (!loaded) throw new Error("There are no points yet.");
  const { columns, names, labels } = app;
  const head = ["number", "name", "class", "predicted", "confidence", "loss", "cluster", "x", "y", ...(loaded.dims === 3 ? ["z"] : []), "passes_filters", "selected"];
  function* rows(): Generator<(string | number | null)[]> {
    const { points, numbers, places, cluster, dims } = loaded as NonNullable<typeof loaded>;
    for (let k = 0; k < numbers.length; k++) {
      const place = places[k];
      const label = columns?.label[place] ?? labels[place] ?? -1;
      const predicted = columns?.predicted[place] ?? -1;
      yield [
        numbers[k],
        names?.[place] ?? "",
        label < 0 ? null : className(label),
        predicted < 0 ? null : className(predicted),
        columns?.confidence[place] ?? null,
        columns?.loss[place] ?? null,
        cluster?.[k] ?? null,
        ...points.subarray(3 * k, 3 * k + dims),
        flags[k] === SHADOW ? "no" : "yes",
        app.selection.has(numbers[k]) ? "yes" : "no",
      ];
    }
  }
  return csvOf(head, rows());
}
