import { expect, test } from "vitest";
import { asRanges, isFiltered, NO_FILTERS, passing, rangesOf } from "./filters";
import { lookupOf } from "./lookup";

const IMAGES = {
  numbers: Int32Array.of(0, 1, 2, 3, 10),
  label: Int32Array.of(0, 1, 1, -1, 2),
  predicted: Int32Array.of(0, 1, 2, 1, 1),
  confidence: Float32Array.of(0.9, 0.5, 0.7, 0.2, NaN),
  names: ["cat.png", "", "scatter", "", ""],
  classNames: ["cat", "dog", "owl"],
};
const passes = (change: object) => [...passing({ ...NO_FILTERS, ...change }, IMAGES)].flatMap((one, k) => (one ? [k] : []));

test("without filters all pass", () => {
  expect(passes({})).toEqual([0, 1, 2, 3, 4]);
  expect(isFiltered(NO_FILTERS)).toBe(false);
});

test("an image without a label is neither right nor wrong", () => {
  expect(passes({ wrong: true })).toEqual([2, 4]);
  expect(passes({ wrong: false })).toEqual([0, 1]);
});

test("filters combine", () => {
  expect(passes({ classes: [1], predicted: [2] })).toEqual([2]);
  expect(passes({ confidence: [0.5, 0.9], wrong: true })).toEqual([2]);
});

test("an unknown confidence passes only the whole range", () => {
  expect(passes({ confidence: [0, 0.99] })).toEqual([0, 1, 2, 3]);
});

test("a search finds numbers, ranges, names and classes", () => {
  expect(passes({ search: "10" })).toEqual([4]);
  expect(passes({ search: "1-3, 10" })).toEqual([1, 2, 3, 4]);
  expect(passes({ search: "CAT" })).toEqual([0, 2]);
  expect(passes({ search: "owl" })).toEqual([4]);
});

test("ranges are read back as they were written", () => {
  expect(asRanges([5, 1, 2, 3, 9])).toBe("1-3,5,9");
  expect(rangesOf("1-3,5,9")).toEqual([[1, 3], [5, 5], [9, 9]]);
  expect(rangesOf("fc1")).toBeNull();
});

test.each([[[0, 1, 2]], [[7, 3, 12]], [[5, 2_000_000_000]]])("numbers %j are found at their places", (numbers) => {
  const placeOf = lookupOf(Int32Array.from(numbers));
  numbers.forEach((number, place) => expect(placeOf(number)).toBe(place));
  expect(placeOf(4)).toBe(-1);
  expect(placeOf(-1)).toBe(-1);
});
