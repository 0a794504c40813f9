import { describe, expect, it } from "vitest";
import { elsewhere, heights, hottest, meanColour, shifted } from "./cover";

describe("hottest", () => {
  const map = [0.1, 0.9, 0, 0.5, 0.3, 0, 0, 0.7, 0.2, 0.4];

  it("takes the highest share of all pixels", () => {
    expect(hottest(map, 30)).toEqual([1, 3, 7]);
    expect(hottest(map, 10)).toEqual([1]);
  });

  it("takes at least one pixel", () => {
    expect(hottest(map, 1)).toEqual([1]);
  });

  it("never takes a pixel where the map is zero", () => {
    expect(hottest(map, 100)).toEqual([0, 1, 3, 4, 7, 8, 9]);
    expect(hottest([0, 0, 0], 50)).toEqual([]);
    expect(hottest([-1, -2, 3], 100)).toEqual([2]);
  });

  it("takes the first of equal pixels in reading order", () => {
    expect(hottest([1, 1, 1, 1], 50)).toEqual([0, 1]);
  });
});

describe("heights", () => {
  it("takes the greatest magnitude of the channels", () => {
    expect([...heights({ data: Float32Array.from([1, -2, -3, 0.5]), shape: [2, 1, 2] })]).toEqual([3, 2]);
  });

  it("leaves a map of one number a pixel as it is", () => {
    expect([...heights({ data: Float32Array.from([1, 2]), shape: [1, 2] })]).toEqual([1, 2]);
  });
});

describe("elsewhere", () => {
  it("keeps the number of pixels, also over the border", () => {
    expect(shifted([0, 1, 4], 1, 3, 4, 3)).toEqual([4, 7, 11]);
    for (let seed = 1; seed < 30; seed++) {
      let state = seed;
      const random = () => (state = (state * 16807) % 2147483647) / 2147483647;
      const place = elsewhere([0, 1, 2, 10, 11, 12], 10, 10, random);
      expect(new Set(place).size).toBe(6);
      expect(place.filter((index) => [0, 1, 2, 10, 11, 12].includes(index)).length).toBeLessThanOrEqual(1);
    }
  });

  it("ends where every place overlaps", () => {
    expect(elsewhere([0, 1, 2, 3], 2, 2)).toEqual([0, 1, 2, 3]);
  });
});

describe("meanColour", () => {
  it("is of each channel by itself", () => {
    expect(meanColour(Uint8Array.from([0, 10, 100, 200]), 2)).toEqual([5, 150]);
  });
});
