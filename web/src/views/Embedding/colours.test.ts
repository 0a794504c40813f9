import { expect, test } from "vitest";
import { AMOUNT, colourAt, PALETTE, rgb, UNKNOWN } from "../../parts/scales";
import { colourAmounts, colourClusters, colourKinds, colourWrong, percentiles } from "./colours";

const at = (colours: Uint8Array, k: number) => [...colours.slice(4 * k, 4 * k + 3)];

test("kinds have their class colours and counts, the unknown ones last", () => {
  const { colours, legend } = colourKinds(Int32Array.of(1, -1, 1, 0), (value) => ["a", "b"][value] ?? "none");
  expect(at(colours, 0)).toEqual(rgb(PALETTE[1]));
  expect(at(colours, 1)).toEqual(rgb(UNKNOWN));
  expect(legend.type === "kinds" && legend.kinds.map(({ name, count }) => [name, count])).toEqual([["a", 1], ["b", 2], ["none", 1]]);
});

test("what has no label or no prediction is neither right nor wrong", () => {
  const { legend } = colourWrong(Int32Array.of(1, 2, -1, 3), Int32Array.of(1, 1, 1, -1));
  expect(legend.type === "kinds" && legend.kinds.map(({ name, count }) => [name, count])).toEqual([["right", 1], ["wrong", 1], ["unknown", 2]]);
});

test("noise of a clustering is no cluster", () => {
  const { legend } = colourClusters(Int32Array.of(-1, 0));
  expect(legend.type === "kinds" && legend.kinds.map(({ name }) => name)).toEqual(["cluster 0", "in no cluster"]);
});

test("amounts beyond the range have its end's colour, what is not known the grey", () => {
  const { colours, legend } = colourAmounts(Float32Array.of(-5, 0.5, 9, NaN), [0, 1]);
  expect(at(colours, 0)).toEqual(colourAt(AMOUNT, 0));
  expect(at(colours, 1)).toEqual(colourAt(AMOUNT, 0.5));
  expect(at(colours, 2)).toEqual(colourAt(AMOUNT, 1));
  expect(at(colours, 3)).toEqual(rgb(UNKNOWN));
  expect(legend).toEqual({ type: "amounts", low: 0, high: 1, unknown: 1 });
});

test("one odd value does not stretch the scale", () => {
  const values = Float32Array.from({ length: 1000 }, (_, k) => k / 1000);
  values[5] = 1e6;
  expect(percentiles(values)[1]).toBeLessThan(1);
  expect(percentiles(Float32Array.of(NaN))).toEqual([0, 1]);
  expect(colourAmounts(Float32Array.of(2, 2)).legend).toMatchObject({ low: 2, high: 2 });
});
