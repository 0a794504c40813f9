import { describe, expect, it } from "vitest";
import { snap, strokePixels } from "./brush";

const at = (row: number, column: number, width = 10) => row * width + column;

describe("strokePixels", () => {
  it("touches the one pixel under a brush of one pixel", () => {
    expect(strokePixels({ x: 3.9, y: 2.1 }, { x: 3.9, y: 2.1 }, 1, 10, 10)).toEqual([at(2, 3)]);
  });

  it("touches a block of four with a brush of two, around the nearest corner", () => {
    const block = [at(1, 2), at(1, 3), at(2, 2), at(2, 3)];
    expect(strokePixels({ x: 3.2, y: 1.8 }, { x: 3.2, y: 1.8 }, 2, 10, 10)).toEqual(block);
  });

  it("touches a block of nine with a brush of three", () => {
    const block = [3, 4, 5].flatMap((row) => [3, 4, 5].map((column) => at(row, column)));
    expect(strokePixels({ x: 4.9, y: 4.1 }, { x: 4.9, y: 4.1 }, 3, 10, 10)).toEqual(block);
  });

  it("leaves no gap in a thin line of any slope", () => {
    for (const end of [{ x: 9.5, y: 3.5 }, { x: 2.5, y: 9.5 }, { x: 9.5, y: 9.5 }, { x: 9.5, y: 0.5 }]) {
      const pixels = strokePixels({ x: 0.5, y: 0.5 }, end, 1, 10, 10);
      const long = Math.max(end.x, end.y) + 0.5;
      const lines = new Set(pixels.map((k) => (end.x >= end.y ? k % 10 : Math.floor(k / 10))));
      expect(lines.size).toBe(long);
    }
  });

  it("is the same both ways", () => {
    const [a, b] = [{ x: 1.2, y: 7.7 }, { x: 8.4, y: 2.3 }];
    expect(strokePixels(a, b, 3, 10, 10)).toEqual(strokePixels(b, a, 3, 10, 10));
  });

  it("stays in the image", () => {
    const pixels = strokePixels({ x: -5, y: -5 }, { x: 40, y: 40 }, 5, 10, 8);
    expect(pixels.every((k) => k >= 0 && k < 80)).toBe(true);
    expect(strokePixels({ x: -50, y: 5 }, { x: -30, y: 5 }, 5, 10, 8)).toEqual([]);
  });

  it("covers about the area of a disc", () => {
    const pixels = strokePixels({ x: 50, y: 50 }, { x: 50, y: 50 }, 40, 100, 100);
    expect(Math.abs(pixels.length / (Math.PI * 400) - 1)).toBeLessThan(0.02);
  });
});

describe("snap", () => {
  it("goes to a centre for an odd brush, between pixels for an even one", () => {
    expect(snap({ x: 3.9, y: 2.1 }, 3)).toEqual({ x: 3.5, y: 2.5 });
    expect(snap({ x: 3.9, y: 2.1 }, 4)).toEqual({ x: 4, y: 2 });
  });
});
