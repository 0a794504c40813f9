/** An image that is changed by strokes: its pixels, where it differs from the original, and the way back. */

import { strokePixels, type Point } from "./brush";

/** What a change did to the pixels it touched, so that it can be taken back and made again. */
interface Patch {
  indices: number[];
  before: Uint8Array;
  after: Uint8Array;
  maskBefore: Uint8Array;
  maskAfter: Uint8Array;
}

export type Paint = number[] | "original";

const KEPT_BYTES = 64_000_000;

/**
 * The edited image. A colour has a value for each channel; the paint "original" brings the image's own pixels back.
 *
 * Several calls of `fill` and `stroke` between `begin` and `end` are one step of undo.
 */
export class Canvas {
  readonly original: Uint8Array;
  readonly pixels: Uint8Array;
  readonly mask: Uint8Array;
  private done: Patch[] = [];
  private undone: Patch[] = [];
  private open: Map<number, { values: number[]; mask: number }> | null = null;

  /** @param original (channels, height, width), row by row. */
  constructor(
    original: Uint8Array,
    readonly channels: number,
    readonly height: number,
    readonly width: number,
  ) {
    this.original = original.slice();
    this.pixels = original.slice();
    this.mask = new Uint8Array(height * width);
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  /** How many pixels are marked as changed. */
  get changed(): number {
    return this.mask.reduce((sum, value) => sum + value, 0);
  }

  /** How many pixels have another colour than in the original. */
  get differing(): number {
    const size = this.height * this.width;
    let count = 0;
    for (let index = 0; index < size; index++) {
      for (let channel = 0; channel < this.channels; channel++)
        if (this.pixels[channel * size + index] !== this.original[channel * size + index]) {
          count++;
          break;
        }
    }
    return count;
  }

  begin(): void {
    this.open ??= new Map();
  }

  /** Ends a step; one that changed nothing leaves no trace. */
  end(): void {
    const touched = this.open;
    this.open = null;
    if (!touched?.size) return;
    const patch = this.patchOf(touched);
    if (!differs(patch.before, patch.after) && !differs(patch.maskBefore, patch.maskAfter)) return;
    this.done.push(patch);
    this.undone = [];
    this.forget();
  }

  stroke(from: Point, to: Point, diameter: number, paint: Paint): void {
    this.fill(strokePixels(from, to, diameter, this.width, this.height), paint);
  }

  /** Paints pixels; outside `begin` and `end` it is a step of its own. */
  fill(indices: Iterable<number>, paint: Paint): void {
    const single = this.open === null;
    this.begin();
    for (const index of indices) {
      if (!this.open!.has(index)) this.open!.set(index, { values: this.at(index, this.pixels), mask: this.mask[index] });
      const values = paint === "original" ? this.at(index, this.original) : paint;
      this.put(index, values);
      this.mask[index] = paint === "original" ? 0 : 1;
    }
    if (single) this.end();
  }

  /** Brings the original back, as a step that can be undone. */
  reset(): void {
    const edited: number[] = [];
    this.mask.forEach((value, index) => value && edited.push(index));
    this.fill(edited, "original");
  }

  undo(): void {
    this.move(this.done, this.undone, "before");
  }

  redo(): void {
    this.move(this.undone, this.done, "after");
  }

  /** The body of a request: the pixels, then the mask. */
  body(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.pixels.length + this.mask.length);
    bytes.set(this.pixels);
    bytes.set(this.mask, this.pixels.length);
    return bytes;
  }

  private move(from: Patch[], to: Patch[], side: "before" | "after"): void {
    this.end();
    const patch = from.pop();
    if (!patch) return;
    const mask = side === "before" ? patch.maskBefore : patch.maskAfter;
    patch.indices.forEach((index, k) => {
      this.put(index, [...patch[side].subarray(k * this.channels, (k + 1) * this.channels)]);
      this.mask[index] = mask[k];
    });
    to.push(patch);
  }

  private patchOf(touched: Map<number, { values: number[]; mask: number }>): Patch {
    const indices = [...touched.keys()];
    return {
      indices,
      before: Uint8Array.from([...touched.values()].flatMap((old) => old.values)),
      after: Uint8Array.from(indices.flatMap((index) => this.at(index, this.pixels))),
      maskBefore: Uint8Array.from([...touched.values()].map((old) => old.mask)),
      maskAfter: Uint8Array.from(indices.map((index) => this.mask[index])),
    };
  }

  private at(index: number, source: Uint8Array): number[] {
    const size = this.height * this.width;
    return Array.from({ length: this.channels }, (_, channel) => source[channel * size + index]);
  }

  private put(index: number, values: number[]): void {
    const size = this.height * this.width;
    for (let channel = 0; channel < this.channels; channel++) this.pixels[channel * size + index] = values[channel];
  }

  /** Drops the oldest steps beyond a bound on memory; an index counts 8 bytes. */
  private forget(): void {
    const bytes = (patch: Patch) => patch.indices.length * (10 + 2 * this.channels);
    let total = this.done.reduce((sum, patch) => sum + bytes(patch), 0);
    while (this.done.length > 1 && total > KEPT_BYTES) total -= bytes(this.done.shift()!);
  }
}

function differs(a: Uint8Array, b: Uint8Array): boolean {
  return a.some((value, index) => value !== b[index]);
}
