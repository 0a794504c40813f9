/** Arrays (channel, height, width) as pictures, and what lies between two codes. */
import { AMOUNT, colourAt } from "./scales";

export interface Tensor {
  data: ArrayLike<number>;
  shape: number[];
}

type Picture = Uint8ClampedArray<ArrayBuffer>;

/** An image in [0, 1] as RGBA. */
export function toPicture({ data, shape }: Tensor): Picture {
  const [channels, height, width] = shape as [number, number, number];
  const size = height * width;
  const picture = new Uint8ClampedArray(4 * size);
  for (let place = 0; place < size; place += 1) {
    for (let channel = 0; channel < 3; channel += 1) {
      picture[4 * place + channel] = Math.round(255 * data[(channels === 3 ? channel : 0) * size + place]);
    }
    picture[4 * place + 3] = 255;
  }
  return picture;
}

/** The k-th of several tensors (n, …). */
export function at({ data, shape }: Tensor, index: number): Tensor {
  const rest = shape.slice(1);
  const size = rest.reduce((product, length) => product * length, 1);
  return { data: Array.prototype.slice.call(data, index * size, (index + 1) * size) as number[], shape: rest };
}

/** Mean over the channels of |one − other|, (height, width). */
export function absoluteError(one: Tensor, other: Tensor): Float32Array<ArrayBuffer> {
  const [channels, height, width] = one.shape as [number, number, number];
  const size = height * width;
  const error = new Float32Array(size);
  for (let place = 0; place < channels * size; place += 1) {
    error[place % size] += Math.abs(one.data[place] - other.data[place]) / channels;
  }
  return error;
}

/** Peak signal-to-noise ratio of images in [0, 1], in dB: 10 log10(1 / mean squared error). */
export function psnr(one: Tensor, other: Tensor): number {
  let sum = 0;
  for (let place = 0; place < one.data.length; place += 1) sum += (one.data[place] - other.data[place]) ** 2;
  return 10 * Math.log10(one.data.length / sum);
}

/** Bright where the error is large; `highest` is white. */
export function errorPicture(error: Float32Array, highest: number): Picture {
  const picture = new Uint8ClampedArray(4 * error.length);
  error.forEach((value, place) => {
    const share = highest > 0 ? Math.min(1, value / highest) : 0;
    // Black, deep orange, yellow, white: its lightness rises evenly.
    const colour = [Math.min(1, 2.2 * share), Math.max(0, 1.45 * share - 0.25), Math.max(0, 3.2 * share - 2.2)];
    picture.set([...colour.map((channel) => Math.round(255 * Math.min(1, channel))), 255], 4 * place);
  });
  return picture;
}

/** `steps` codes from one to another on a straight line, both ends among them, one after the other. */
export function between(first: Float32Array, second: Float32Array, steps: number): Float32Array<ArrayBuffer> {
  const codes = new Float32Array(steps * first.length);
  for (let step = 0; step < steps; step += 1) {
    const share = steps > 1 ? step / (steps - 1) : 0;
    first.forEach((value, place) => {
      codes[step * first.length + place] = value + share * (second[place] - value);
    });
  }
  return codes;
}

/** A code with some of its numbers changed. */
export function changed(code: Float32Array, changes: ReadonlyMap<number, number>): Float32Array<ArrayBuffer> {
  const copy = new Float32Array(code);
  for (const [place, value] of changes) copy[place] = value;
  return copy;
}

/** Amounts from 0 to `highest` in the scale for amounts. */
export function amounts(values: ArrayLike<number>, highest: number): Picture {
  const picture = new Uint8ClampedArray(4 * values.length);
  for (let place = 0; place < values.length; place += 1) picture.set([...colourAt(AMOUNT, values[place] / highest), 255], 4 * place);
  return picture;
}
