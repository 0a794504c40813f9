import { describe, expect, it } from "vitest";

import { rgb } from "../../parts/scales";
import { JUDGEMENTS, VOID, classOverlay, countJudged, errorMap, judge, judgeAll, pixelWords, regionAt, regionOf } from "./judgement";

const truth = Uint8Array.from([0, 1, 1, 0, 2, VOID]);
const predicted = Uint8Array.from([0, 1, 0, 2, 1, 1]);

describe("judge", () => {
  it("names each kind of mistake", () => {
    expect(Array.from(judgeAll(truth, predicted), (place) => JUDGEMENTS[place])).toEqual([
      "background", "right", "missed", "invented", "confused", "void",
    ]);
  });
  it("does not judge void, whatever is predicted", () => {
    expect([judge(VOID, 0), judge(VOID, 3)]).toEqual(["void", "void"]);
  });
  it("counts all pixels, or those of one class in truth or prediction", () => {
    expect(Object.values(countJudged(truth, predicted))).toEqual([1, 1, 1, 1, 1, 1]);
    expect(countJudged(truth, predicted, 2)).toMatchObject({ background: 0, right: 0, invented: 1, confused: 1, void: 0 });
  });
});

describe("pictures", () => {
  it("the error map has the colour of each judgement", () => {
    const map = errorMap(truth, predicted);
    expect(Array.from(map.slice(8, 12))).toEqual([...rgb("#43b2ff"), 255]);
    expect(Array.from(map.slice(20, 24))).toEqual([...rgb("#737373"), 255]);
  });
  it("the error map fades what is not of the class, and what is hidden", () => {
    const map = errorMap(truth, predicted, 2, new Set(["confused"]));
    expect([map[3], map[15], map[19]]).toEqual([70, 255, 70]);
  });
  it("the overlay leaves background and void as they are", () => {
    const pixels = Uint8Array.from([10, 20, 30, 40, 50, 60]);
    const over = classOverlay(pixels, truth, () => "#ff0000", 1);
    expect(Array.from(over.slice(0, 4))).toEqual([10, 10, 10, 255]);
    expect(Array.from(over.slice(4, 8))).toEqual([255, 0, 0, 255]);
    expect(Array.from(over.slice(20, 24))).toEqual([60, 60, 60, 255]);
  });
  it("the overlay mixes by opacity, and shows one class alone", () => {
    const pixels = Uint8Array.from([100, 100, 100, 100, 100, 100]);
    const over = classOverlay(pixels, truth, () => "#ff0000", 0.5, 1);
    expect(over[4]).toBe(178);
    expect(over[16]).toBe(100);
  });
});

it("a region is what is predicted as a class", () => {
  expect(Array.from(regionOf(predicted, 1))).toEqual([0, 1, 0, 0, 1, 1]);
});

it("a region at a pixel hangs together edge to edge, not over corners or the border", () => {
  const mask = Uint8Array.from([1, 0, 1, 1, 1, 0, 0, 0, 1]);
  expect(Array.from(regionAt(mask, 3, 3, [0, 0]))).toEqual([1, 0, 0, 1, 1, 0, 0, 0, 0]);
  expect(Array.from(regionAt(mask, 3, 3, [2, 0]))).toEqual([0, 0, 1, 0, 0, 0, 0, 0, 0]);
});

it("says what lies at a pixel", () => {
  const name = (index: number) => ["background", "one", "two"][index];
  expect(pixelWords(2, 1, name)).toBe("the network says one, but two is there: confused.");
  expect(pixelWords(VOID, 1, name)).toContain("no label");
});
