import { describe, expect, it } from "vitest";

import { absoluteError, at, between, changed, errorPicture, psnr, toPicture } from "./tensor";

const grey = { data: [0, 0.5, 1, 0.2], shape: [1, 2, 2] };

describe("pictures", () => {
  it("of one channel are grey", () => {
    expect(Array.from(toPicture(grey).slice(0, 12))).toEqual([0, 0, 0, 255, 128, 128, 128, 255, 255, 255, 255, 255]);
  });
  it("of three channels take each plane's value, and stay in bounds", () => {
    expect(Array.from(toPicture({ data: [1, 0.5, -2], shape: [3, 1, 1] }))).toEqual([255, 128, 0, 255]);
  });
  it("of an error are black at none and white at the highest", () => {
    expect(Array.from(errorPicture(Float32Array.from([0, 0.5]), 0.5))).toEqual([0, 0, 0, 255, 255, 255, 255, 255]);
    expect(Array.from(errorPicture(Float32Array.from([0]), 0))).toEqual([0, 0, 0, 255]);
  });
});

it("takes one of several", () => {
  expect(at({ data: [1, 2, 3, 4, 5, 6], shape: [3, 1, 1, 2] }, 1)).toEqual({ data: [3, 4], shape: [1, 1, 2] });
});

describe("errors", () => {
  it("are means over the channels", () => {
    const error = absoluteError({ data: [0, 1, 0, 1], shape: [2, 1, 2] }, { data: [0.5, 1, 0.25, 0], shape: [2, 1, 2] });
    expect(Array.from(error)).toEqual([0.375, 0.5]);
  });
  it("of a tenth everywhere are 20 dB, of nothing infinite", () => {
    const other = { data: grey.data.map((value) => value + 0.1), shape: grey.shape };
    expect(psnr(grey, other)).toBeCloseTo(20);
    expect(psnr(grey, grey)).toBe(Infinity);
  });
});

describe("codes", () => {
  it("go from one to another in equal steps", () => {
    const codes = between(Float32Array.from([0, 4]), Float32Array.from([1, 0]), 3);
    expect(Array.from(codes)).toEqual([0, 4, 0.5, 2, 1, 0]);
  });
  it("are changed in a copy", () => {
    const code = Float32Array.from([1, 2]);
    expect(Array.from(changed(code, new Map([[1, 7]])))).toEqual([1, 7]);
    expect(code[1]).toBe(2);
  });
});
