/** The layer table as a diagram: lengths of bars, shapes in words, and the whole as an SVG to keep. */

import { compact } from "../../parts/chart/scale";
import { escapeXml } from "../../parts/download";
import type { NetworkLayer } from "../../api/types";

export type Layer = NetworkLayer;
export type Bars = "size" | "parameters" | "macs" | "score";

/** 32 × 28 × 28, as shapes are written. */
export function shapeWords(shape: number[]): string {
  return shape.length ? shape.map((length) => length.toLocaleString("en")).join(" × ") : "–";
}

export function sizeOf(layer: Layer): number {
  return layer.output.reduce((product, length) => product * length, 1);
}

/** Shares of the largest value, 0 to 1; null where there is none. Counts have lengths by their square roots. */
export function barLengths(values: (number | null)[], root: boolean): (number | null)[] {
  const lengths = values.map((value) => (value === null ? null : root ? Math.sqrt(Math.max(0, value)) : Math.max(0, value)));
  const highest = Math.max(...lengths.map((length) => length ?? 0));
  return lengths.map((length) => (length === null ? null : highest > 0 ? length / highest : 0));
}

/**
 * Width and height of a layer's block, as shares of the largest: as wide as it has channels (by logarithm), as high as
 * its maps. What has no maps is a flat block.
 */
export function blocks(layers: Layer[]): { width: number; height: number }[] {
  const channels = layers.map((layer) => Math.log2(1 + (layer.output[0] ?? 1)));
  const sides = layers.map((layer) => (layer.output.length === 3 ? layer.output[1] : 0));
  const [widest, highest] = [Math.max(...channels, 1), Math.max(...sides, 1)];
  return layers.map((_, place) => ({ width: channels[place] / widest, height: sides[place] / highest }));
}

/** Numbers of the layers, and how they are written. */
export interface Column {
  title: string;
  values: (number | null)[];
  texts: string[];
}

export interface Colours {
  ink: string;
  muted: string;
  accent: string;
  surface: string;
}

const ROW = 26;

/** The diagram as one SVG: names, blocks, shapes, and a bar of each number. */
export function diagramSvg(title: string, layers: Layer[], scores: Column | null, colours: Colours): string {
  const counted: [string, (number | null)[]][] = [
    ["numbers out", layers.map(sizeOf)],
    ["parameters", layers.map((layer) => layer.parameters)],
    ["MACs", layers.map((layer) => layer.macs)],
  ];
  const columns: Column[] = counted.map(([name, values]) => ({ title: name, values, texts: values.map(compact) }));
  if (scores) columns.push(scores);
  const [left, width] = [430, 150];
  const total = { width: left + columns.length * (width + 20) + 10, height: 70 + layers.length * ROW };
  const shapes = blocks(layers);
  const parts = [
    `<rect width="100%" height="100%" fill="${colours.surface}"/>`,
    text(14, 24, title, `font-size="15" font-weight="600" fill="${colours.ink}"`),
    ...columns.map((column, place) => text(left + place * (width + 20), 50, column.title, `fill="${colours.muted}"`)),
  ];
  const lengths = columns.map((column) => barLengths(column.values, column !== scores));
  layers.forEach((layer, row) => {
    const [middle, block] = [70 + row * ROW, shapes[row]];
    const size = { width: 6 + 40 * block.width, height: 3 + 17 * block.height };
    parts.push(
      `<rect x="${14 + (46 - size.width) / 2}" y="${middle - size.height / 2}" width="${size.width}" height="${size.height}" rx="2" fill="${colours.accent}"${layer.parameters ? "" : ' fill-opacity="0.35"'}/>`,
      text(72, middle + 4, `${layer.name}  ${layer.kind}`, `fill="${colours.ink}"`),
      text(left - 14, middle + 4, shapeWords(layer.output), `fill="${colours.muted}" text-anchor="end"`),
    );
    columns.forEach((column, place) => {
      const x = left + place * (width + 20);
      const length = (lengths[place][row] ?? 0) * (width - 60);
      parts.push(
        `<rect x="${x}" y="${middle - 5}" width="${length.toFixed(1)}" height="10" fill="${colours.accent}"/>`,
        text(x + length + 5, middle + 4, column.texts[row], `fill="${colours.ink}"`),
      );
    });
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${total.width}" height="${total.height}" viewBox="0 0 ${total.width} ${total.height}" font-family="sans-serif" font-size="12">${parts.join("")}</svg>`;
}

function text(x: number, y: number, words: string, look: string): string {
  return `<text x="${x.toFixed(1)}" y="${y}" ${look}>${escapeXml(words)}</text>`;
}
