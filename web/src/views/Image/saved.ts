/** Maps as a picture and as a table. */

import type { NdArray } from "../../api/client";
import { csvOf, pngOf } from "../../parts/download";
import { heatOf, type Picture } from "../../parts/heat";
import { isSigned } from "./mapKeys";

/** A map that is in sight. */
export interface Panel {
  /** What it stands under, such as "Why 5?". */
  group: string;
  caption: string;
  map: NdArray;
  target: string;
  method: string;
  layer: string;
}

/** A picture of the sheet. */
export interface Drawn {
  group: string;
  caption: string;
  picture: Picture;
}

const SIDE = 320;
const GAP = 24;
const TEXT = 26;

/** Lays maps over their image. */
export function drawn(panels: Panel[], image: NdArray, opacity: number): Drawn[] {
  return panels.map(({ group, caption, map }) => ({ group, caption, picture: heatOf(image, map, { opacity, signed: isSigned(map) }) }));
}

/** Draws pictures in a row for each group, with their captions, on white. */
export function sheet(pictures: Drawn[], title: string): Promise<Blob> {
  const groups = [...new Set(pictures.map((one) => one.group))];
  const rows = groups.map((group) => pictures.filter((one) => one.group === group));
  const canvas = document.createElement("canvas");
  canvas.width = GAP + Math.max(2, ...rows.map((row) => row.length)) * (SIDE + GAP);
  canvas.height = TEXT + GAP + rows.length * (SIDE + 2 * TEXT + GAP);
  const context = canvas.getContext("2d")!;
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  write(context, title, GAP, TEXT, canvas.width - 2 * GAP, "bold 16px sans-serif");
  rows.forEach((row, index) => drawRow(context, row, TEXT + GAP + index * (SIDE + 2 * TEXT + GAP)));
  return pngOf(canvas);
}

function drawRow(context: CanvasRenderingContext2D, row: Drawn[], top: number): void {
  write(context, row[0].group, GAP, top + 16, row.length * (SIDE + GAP), "bold 15px sans-serif");
  row.forEach(({ caption, picture }, place) => {
    const left = GAP + place * (SIDE + GAP);
    const longest = Math.max(picture.width, picture.height);
    context.imageSmoothingEnabled = longest > 64;
    context.drawImage(canvasOf(picture), left, top + TEXT, (picture.width * SIDE) / longest, (picture.height * SIDE) / longest);
    write(context, caption, left, top + TEXT + SIDE + 18, SIDE, "14px sans-serif");
  });
}

function canvasOf({ data, width, height }: Picture): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")!.putImageData(new ImageData(data, width, height), 0, 0);
  return canvas;
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
