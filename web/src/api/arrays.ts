/** Binary answers: arrays one after the other, little-endian, C order, described in the header X-Arrays. */
import type { ArrayMeta } from "./types";

export type Numbers = Float32Array | Int32Array | Uint8Array;
export type NdArray = { data: Numbers; shape: number[] };

const KINDS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array } as const;

/** Cut a body into its arrays; each is a copy, so that its start is aligned. */
export function decodeArrays(body: ArrayBuffer, metas: ArrayMeta[]): Record<string, NdArray> {
  const arrays: Record<string, NdArray> = {};
  let at = 0;
  for (const { name, dtype, shape } of metas) {
    const kind = KINDS[dtype];
    const length = shape.reduce((a, b) => a * b, 1) * kind.BYTES_PER_ELEMENT;
    if (at + length > body.byteLength) throw new Error(`The answer ends in the middle of "${name}": reload the page.`);
    arrays[name] = { data: new kind(body.slice(at, at + length)), shape };
    at += length;
  }
  return arrays;
}

/** The numbers of an array that must be there. */
export function floats(arrays: Record<string, NdArray>, name: string): Float32Array {
  const array = arrays[name];
  if (!array) throw new Error(`The answer has no array "${name}": reload the page.`);
  return array.data instanceof Float32Array ? array.data : Float32Array.from(array.data);
}

export function ints(arrays: Record<string, NdArray>, name: string): Int32Array {
  const array = arrays[name];
  if (!array) throw new Error(`The answer has no array "${name}": reload the page.`);
  return array.data instanceof Int32Array ? array.data : Int32Array.from(array.data);
}
