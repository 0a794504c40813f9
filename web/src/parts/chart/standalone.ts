/** Drawings of the page as files of their own: an SVG with its styles written out, and the same as PNG. */
import { escapeXml, pngOf } from "../download";

const STYLES = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity",
  "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline",
];
const MARGIN = 12;

/** The page's colours, as numbers that a file can hold. */
export function pageColours(): { ink: string; muted: string; accent: string; surface: string; grid: string } {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string, fallback: string) => style.getPropertyValue(name).trim() || fallback;
  return {
    ink: value("--ink", "#1b1f27"),
    muted: value("--muted", "#6a7180"),
    accent: value("--accent", "#2a80c8"),
    surface: value("--page", "#ffffff"),
    grid: value("--grid", "#dfe2e8"),
  };
}

export type Drawing = {
  title: string;
  svg: SVGSVGElement;
  legend: { label: string; colour: string; dash?: string }[];
};

/** Drawings of the page one below the other, each with its heading and its legend. */
export function standalone(drawings: Drawing[]): string {
  const { ink, surface } = pageColours();
  let top = MARGIN;
  let width = 0;
  let body = "";
  for (const { title, svg, legend } of drawings) {
    const box = svg.getBoundingClientRect();
    const copy = svg.cloneNode(true) as SVGSVGElement;
    writeStyles(svg, copy);
    copy.setAttribute("x", String(MARGIN));
    copy.setAttribute("y", String(top + 22));
    copy.setAttribute("width", String(box.width));
    copy.setAttribute("height", String(box.height));
    const heading = document.createElementNS(svg.namespaceURI, "text");
    heading.textContent = title;
    for (const [name, text] of [["x", MARGIN], ["y", top + 13], ["fill", ink], ["font-weight", 600]] as const) heading.setAttribute(name, String(text));
    body += new XMLSerializer().serializeToString(heading) + new XMLSerializer().serializeToString(copy);
    const keys = legendOf(legend, MARGIN, top + box.height + 36, box.width, ink);
    body += keys.body;
    top = keys.bottom + 16;
    width = Math.max(width, box.width + 2 * MARGIN);
  }
  const size = `width="${width}" height="${top}" viewBox="0 0 ${width} ${top}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="${surface}"/>${body}</svg>`;
}

const LETTER = 7.4;

/** Legend entries in rows that are no wider than the drawing. */
function legendOf(legend: Drawing["legend"], left: number, top: number, width: number, ink: string): { body: string; bottom: number } {
  let [x, y, body] = [left, top, ""];
  for (const { label, colour, dash } of legend) {
    const needed = 34 + label.length * LETTER + 18;
    if (x > left && x + needed > left + width) [x, y] = [left, y + 18];
    const line = `<path d="M${x} ${y - 4}h26" stroke="${resolved(colour)}" stroke-width="1.8"${dash ? ` stroke-dasharray="${dash}"` : ""}/>`;
    body += `${line}<text x="${x + 32}" y="${y}" font-size="12" fill="${ink}">${escapeXml(label)}</text>`;
    x += needed;
  }
  return { body, bottom: y };
}

/** A colour of the page's variables as one that a file can hold. */
function resolved(colour: string): string {
  const name = /^var\((--[\w-]+)\)$/.exec(colour)?.[1];
  return name ? getComputedStyle(document.documentElement).getPropertyValue(name).trim() : colour;
}

function writeStyles(from: Element, to: Element): void {
  const style = getComputedStyle(from);
  for (const name of STYLES) {
    const value = style.getPropertyValue(name);
    if (value) to.setAttribute(name, value);
  }
  to.removeAttribute("class");
  Array.from(from.children).forEach((child, place) => writeStyles(child, to.children[place]));
}

/** An SVG as PNG, `scale` pixels a unit. */
export async function svgToPng(svg: string, scale = 2): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(image.width * scale);
  canvas.height = Math.ceil(image.height * scale);
  canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
  return pngOf(canvas);
}

/** Canvases in a row with their captions, as one PNG. */
export async function rowToPng(pictures: { title: string; canvas: HTMLCanvasElement }[], side = 320): Promise<Blob> {
  const { ink, surface } = pageColours();
  const sheet = document.createElement("canvas");
  const heights = pictures.map(({ canvas }) => (canvas.height / canvas.width) * side);
  sheet.width = pictures.length * (side + MARGIN) + MARGIN;
  sheet.height = Math.max(...heights) + 2 * MARGIN + 24;
  const context = sheet.getContext("2d")!;
  context.fillStyle = surface;
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.font = "16px sans-serif";
  pictures.forEach(({ title, canvas }, place) => {
    const left = MARGIN + place * (side + MARGIN);
    context.fillStyle = ink;
    context.fillText(title, left, MARGIN + 14, side);
    context.imageSmoothingEnabled = canvas.width > 96;
    context.drawImage(canvas, left, MARGIN + 24, side, heights[place]);
  });
  return pngOf(sheet);
}
