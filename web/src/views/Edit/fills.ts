/** What the brush and the cover paint with. */

import { meanColour } from "./cover";

export type Fill = "edge" | "mean" | "black" | "white" | "own" | "original";

/** The colour most pixels of the border have: what lies behind a digit on an even ground. */
export function edgeColour(pixels: Uint8Array, channels: number, height: number, width: number): number[] {
  const border = borderOf(height, width);
  const counts = new Map<string, number>();
  const colour = (index: number) => Array.from({ length: channels }, (_, channel) => pixels[channel * height * width + index]);
  for (const index of border) {
    const key = colour(index).join();
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const [most] = [...counts].sort((a, b) => b[1] - a[1]);
  return most[0].split(",").map(Number);
}

/** Whether the border is of one colour but for a few pixels, so that there is a ground to paint with. */
export function hasGround(pixels: Uint8Array, channels: number, height: number, width: number): boolean {
  const ground = edgeColour(pixels, channels, height, width);
  const border = borderOf(height, width);
  const near = border.filter((index) => ground.every((value, channel) => Math.abs(pixels[channel * height * width + index] - value) <= 8));
  return near.length >= 0.8 * border.length;
}

function borderOf(height: number, width: number): number[] {
  const all = Array.from({ length: height * width }, (_, index) => index);
  return all.filter((index) => {
    const [row, column] = [Math.floor(index / width), index % width];
    return row === 0 || column === 0 || row === height - 1 || column === width - 1;
  });
}

/** A colour for each channel. */
export function colourOf(fill: Fill, own: number[], pixels: Uint8Array, shape: number[]): number[] | "original" {
  const [channels, height, width] = shape;
  if (fill === "original") return "original";
  if (fill === "own") return Array.from({ length: channels }, (_, channel) => own[channel] ?? own[0] ?? 0);
  if (fill === "mean") return meanColour(pixels, channels);
  if (fill === "edge") return edgeColour(pixels, channels, height, width);
  return Array.from({ length: channels }, () => (fill === "white" ? 255 : 0));
}

/** "#rrggbb" of a colour with one or three channels, and back. */
export function hexOf(colour: number[]): string {
  const three = colour.length >= 3 ? colour.slice(0, 3) : [colour[0], colour[0], colour[0]];
  return `#${three.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

export function fromHex(hex: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}
