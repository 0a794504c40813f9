/** The test of a map: cover the place it points at, or another place of the same size, and see what the model says. */

import type { NdArray } from "../../api/client";

/** One number a pixel: the map itself, or for a map with channels the greatest magnitude among them. */
export function heights(map: NdArray): Float32Array {
  const [height, width] = map.shape.slice(-2) as [number, number];
  const size = height * width;
  if (map.shape.length === 2) return Float32Array.from(map.data);
  const result = new Float32Array(size);
  for (let k = 0; k < map.data.length; k++) result[k % size] = Math.max(result[k % size], Math.abs(map.data[k]));
  return result;
}

/**
 * The pixels where a map is highest.
 *
 * @param percent Of all pixels, rounded to at least one; pixels where the map is 0 or less are never taken, so there
 * may be fewer. Among equal values the first in reading order comes first.
 * @returns Indices, ascending.
 */
export function hottest(map: ArrayLike<number>, percent: number): number[] {
  const wanted = Math.max(1, Math.round((map.length * percent) / 100));
  const positive = Array.from({ length: map.length }, (_, index) => index).filter((index) => map[index] > 0);
  positive.sort((a, b) => map[b] - map[a] || a - b);
  return positive.slice(0, wanted).sort((a, b) => a - b);
}

/** Moves pixels by rows and columns; what leaves the image at one side comes in at the other, so their number stays. */
export function shifted(indices: number[], rows: number, columns: number, width: number, height: number): number[] {
  const move = (index: number) => {
    const row = (Math.floor(index / width) + rows) % height;
    const column = ((index % width) + columns) % width;
    return row * width + column;
  };
  return indices.map(move).sort((a, b) => a - b);
}

/**
 * A random other place of the same size and shape, as far as one can be had that overlaps by a quarter at most.
 *
 * @param random Numbers in [0, 1).
 */
export function elsewhere(indices: number[], width: number, height: number, random: () => number = Math.random): number[] {
  const taken = new Set(indices);
  let best: { place: number[]; overlap: number } | null = null;
  for (let attempt = 0; attempt < 40; attempt++) {
    const place = shifted(indices, Math.floor(random() * height), Math.floor(random() * width), width, height);
    const overlap = place.filter((index) => taken.has(index)).length;
    if (!best || overlap < best.overlap) best = { place, overlap };
    if (best.overlap <= indices.length / 4) break;
  }
  return best!.place;
}

/** The image's mean colour, a value for each channel. */
export function meanColour(pixels: Uint8Array, channels: number): number[] {
  const size = pixels.length / channels;
  return Array.from({ length: channels }, (_, channel) => {
    let sum = 0;
    for (let k = 0; k < size; k++) sum += pixels[channel * size + k];
    return Math.round(sum / size);
  });
}
