import { describe, expect, it } from "vitest";

import { noiseWords, readChanges, sliderEnds, writeChanges } from "./noise";

it.each([["none", "none"], ["gaussian:0.3", "Gaussian, standard deviation 0.3"], ["saltpepper:0.05", "salt and pepper on 5 % of the pixels"], ["fog:2", "fog:2"], ["gaussian:0.02-0.5", "Gaussian, standard deviation 0.02 to 0.5"], ["mask:0.1-0.25", "10 to 25 % of the pixels are masked"], ["gaussian:5e-2", "Gaussian, standard deviation 0.05"]])("%s is %s", (noise, words) => {
  expect(noiseWords(noise)).toBe(words);
});

describe("changes of a code", () => {
  it("go into the address and back", () => {
    const changes = new Map([[3, 1.25], [7, -0.4]]);
    expect(writeChanges(changes)).toBe("3:1.25,7:-0.4");
    expect(readChanges("3:1.25,7:-0.4", 8)).toEqual(changes);
  });
  it("that mean nothing are left out", () => {
    expect(readChanges("9:1,x:2,1:y,,2", 8).size).toBe(0);
    expect(readChanges(null, 8).size).toBe(0);
  });
  it("of nothing are no part of the address", () => expect(writeChanges(new Map())).toBeNull());
});

it("a slider reaches as far as the image's own value", () => {
  expect(sliderEnds(-1, 1, 0)).toEqual([-1.3, 1.3]);
  expect(sliderEnds(-1, 1, 5)[1]).toBe(5);
  expect(sliderEnds(2, 2, 2)).toEqual([1, 3]);
});
