/** The maps in sight as a picture and as a table. */

import type { NdArray } from "../../api/client";
import { csvOf, pngOf } from "../../parts/download";

export interface Panel {
  /** What it stands under, such as "Why 5?". */
  group: string;
  caption: string;
  canvas: HTMLCanvasElement;
  map: NdArray;
  target: string;
  method: string;
  layer: string;
}

const SIDE = 320;
const GAP = 24;
const TEXT = 26;

/** Draws panels in a row for each group, with their captions, on white. */
export function sheet(panels: Panel[], title: string): Promise<Blob> {
  const groups = [...new Set(panels.map((panel) => panel.group))];
  const rows = groups.map((group) => panels.filter((panel) => panel.group === group));
  const canvas = document.createElement("canvas");
  canvas.width = GAP + Math.max(2, ...rows.map((row) => row.length)) * (SIDE + GAP);
  canvas.height = TEXT + GAP + rows.length * (SIDE + 2 * TEXT + GAP);
  const context = canvas.getContext("2d")!;
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  write(context, title, GAP, TEXT, canvas.width - 2 * GAP, "bold 16px sans-serif");
  rows.forEach((row, index) => drawRow(context, row, groups[index], TEXT + GAP + index * (SIDE + 2 * TEXT + GAP)));
  return pngOf(canvas);
}

function drawRow(context: CanvasRenderingContext2D, row: Panel[], group: string, top: number): void {
  write(context, group, GAP, top + 16, row.length * (SIDE + GAP), "bold 15px sans-serif");
  row.forEach((panel, place) => {
    const left = GAP + place * (SIDE + GAP);
    const scale = SIDE / Math.max(panel.canvas.width, panel.canvas.height);
    context.imageSmoothingEnabled = Math.max(panel.canvas.width, panel.canvas.height) > 64;
    context.drawImage(panel.canvas, left, top + TEXT, panel.canvas.width * scale, panel.canvas.height * scale);
    write(context, panel.caption, left, top + TEXT + SIDE + 18, SIDE, "14px sans-serif");
  });
}

function write(context: CanvasRenderingContext2D, text: string, x: number, y: number, width: number, font: string): void {
  context.font = font;
  context.fillStyle = "#1b1f27";
  context.fillText(text, x, y, width);
}

/** A line for each number of the maps. */
export function mapsCsv(panels: Panel[]): string {
  return csvOf(["target", "method", "layer", "channel", "row", "column", "value"], panels.flatMap(linesOf));
}

function linesOf({ target, method, layer, map }: Panel): (string | number)[][] {
  const [height, width] = map.shape.slice(-2);
  const size = height * width;
  return Array.from(map.data, (value, k) => {
    const pixel = k % size;
    return [target, method, layer, Math.floor(k / size), Math.floor(pixel / width), pixel % width, value];
  });
}
