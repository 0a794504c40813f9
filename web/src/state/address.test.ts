import { expect, test } from "vitest";
import { readAddress, writeAddress } from "./address";
import { NO_FILTERS } from "./filters";

const PLACE = {
  subject: "digits",
  view: "embedding",
  part: "test" as const,
  focus: 42,
  selection: [1, 2, 3, 9],
  filters: { classes: [3, 5], predicted: [8], wrong: true, confidence: [0.5, 0.9] as [number, number], search: "a&b=c" },
  params: { layer: "features.0", colour: "loss" },
};

test("an address brings back all that it was written from", () => {
  expect(readAddress(writeAddress(PLACE))).toEqual(PLACE);
});

test("an address without anything is the first view's", () => {
  expect(writeAddress({ ...PLACE, focus: null, selection: [], filters: NO_FILTERS, params: {} })).toBe("#/digits/embedding");
  expect(readAddress("")).toMatchObject({ subject: null, view: null, part: "test", focus: null, filters: NO_FILTERS });
});

test("what is no number or no range in an address counts as not there", () => {
  const place = readAddress("#/digits/image?image=-3&class=1,x&confidence=0.9-0.1&selected=a-b&wrong=perhaps");
  expect(place.focus).toBeNull();
  expect(place.filters).toEqual({ ...NO_FILTERS, classes: [1] });
  expect(place.selection).toEqual([]);
});

test("a very long selection stays out of the address, and a huge range does not fill the memory", () => {
  const many = Array.from({ length: 2000 }, (_, k) => 2 * k);
  expect(writeAddress({ ...PLACE, selection: many })).not.toContain("selected");
  expect(readAddress("#/digits/embedding?selected=0-999999999").selection).toHaveLength(1_000_000);
});
