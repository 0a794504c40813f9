import { describe, expect, it } from "vitest";

import { best, boxOf, channelsCsv, imagesOf, layerOf, ofClasses, ordered, ordersOf, preferredOf } from "./layer";

const meta = {
  ...{ layer: "conv1", measured: "bn1", channels: 3, images: 10, dead: 1, lost: "accuracy", lost_is_share: true },
  ...{ lost_images: 10, baseline: 0.9, notes: [], entry: "" },
};
const array = (data: Float32Array | Int32Array, ...shape: number[]) => ({ data, shape });
const arrays = {
  numbers: array(Int32Array.of(5, 7, 1, 2, 3, 4), 3, 2),
  activations: array(Float32Array.of(9, 8, 7, 6, 0, 0), 3, 2),
  boxes: array(Int32Array.from({ length: 24 }, (_, k) => k), 3, 2, 4),
  active: array(Float32Array.of(0.5, 1, 0), 3),
  order: array(Int32Array.of(1, 0, 2), 3),
  class_means: array(Float32Array.of(1, 2, 4, 0, NaN, NaN), 3, 2),
  selectivity: array(Float32Array.of(0.25, 0.75, NaN), 3),
  preferred: array(Int32Array.of(1, 0, -1), 3),
  auroc: array(Float32Array.of(0.5, 0.75, 1, 0, NaN, NaN), 3, 2),
  lost: array(Float32Array.of(0.5, 0.5, -0.25), 3),
  lost_last: array(Float32Array.of(1, 2, 0), 3),
  lost_low: array(Float32Array.of(0.25, 0.25, NaN), 3),
  lost_high: array(Float32Array.of(0.75, 0.75, NaN), 3),
};
const layer = layerOf({ arrays, meta });

describe("the channels of a layer", () => {
  it("stand in the order that is asked for, equal ones told apart by the last measure", () => {
    expect(ordersOf(layer)).toEqual(["selective", "needed", "active", "number"]);
    expect(ordered(layer, "selective")).toEqual([1, 0, 2]);
    expect(ordered(layer, "needed")).toEqual([1, 0, 2]);
    expect(ordered(layer, "active")).toEqual([1, 0, 2]);
    expect(ordered(layer, "number")).toEqual([0, 1, 2]);
  });
  it("have their images, the place in each, and their classes", () => {
    expect(imagesOf(layer, 1)).toEqual([1, 2]);
    expect(boxOf(layer, 1, 1)).toEqual([12, 13, 14, 15]);
    expect(best(ofClasses(layer.auroc, layer, 0))).toEqual([1, 0.75]);
    expect(best(ofClasses(layer.auroc, layer, 2))).toBeNull();
    expect([preferredOf(layer, 1), preferredOf(layer, 2)]).toEqual([0, null]);
  });
  it("are saved as a table, with nothing where nothing is known", () => {
    const lines = channelsCsv(layer, ["cat", "dog"]).trim().split(/\r?\n/);
    expect(lines[2]).toBe("bn1,1,1,0.75,cat,1,cat,,,0.5,0.25,0.75,1 2");
    expect(lines[3]).toBe("bn1,2,0,,,,,,,-0.25,,,3 4");
  });
  it("without classes and labels can still be ordered by activity", () => {
    const { numbers, activations, active, order } = arrays;
    expect(ordersOf(layerOf({ arrays: { numbers, activations, active, order }, meta }))).toEqual(["active", "number"]);
  });
});
