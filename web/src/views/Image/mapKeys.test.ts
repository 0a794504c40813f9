import { describe, expect, it } from "vitest";
import type { NdArray } from "../../api/client";
import { isSigned, isZero, layerFor, layerTitle, listed, methodsOf, shortNames } from "./mapKeys";

const map = (...values: number[]): NdArray => ({ data: Float32Array.from(values), shape: [1, values.length] });
const arrays = {
  "gradcam|fc": map(1),
  "gradcam|conv1": map(1),
  "gradcam|a|b": map(1),
  "saliency|input": map(0, 0),
  probabilities: map(1),
};

describe("methodsOf", () => {
  it("sorts by method as asked, and layer as in the network", () => {
    expect(methodsOf(arrays, ["saliency", "gradcam"], ["conv1", "a|b", "fc"])).toEqual([
      { method: "saliency", layers: ["input"] },
      { method: "gradcam", layers: ["conv1", "a|b", "fc"] },
    ]);
  });
});

describe("layerFor", () => {
  it("is the chosen layer, or the only one of a method of the whole network", () => {
    expect(layerFor({ method: "gradcam", layers: ["a", "b"] }, "b")).toBe("b");
    expect(layerFor({ method: "saliency", layers: ["input"] }, "b")).toBe("input");
    expect(layerFor({ method: "gradcam", layers: ["a", "b"] }, "c")).toBe(null);
  });
});

describe("maps", () => {
  it("are signed where they have channels, and known where they are zero", () => {
    expect(isSigned(map(1, 2))).toBe(false);
    expect(isSigned({ data: new Float32Array(12), shape: [3, 2, 2] })).toBe(true);
    expect([isZero(map(0, 0)), isZero(map(0, -1))]).toEqual([true, false]);
  });
});

describe("layerTitle", () => {
  it("says of a bare number that it is a layer", () => {
    expect([layerTitle("4"), layerTitle("conv4")]).toEqual(["layer 4", "conv4"]);
  });
});

describe("shortNames", () => {
  it("leave short names as they are", () => {
    expect(shortNames(["conv1", "conv2"])).toEqual(["conv1", "conv2"]);
  });

  it("leave out what all begin with, or keep the end", () => {
    expect(shortNames(["encoder.conv1", "encoder.conv2"])).toEqual(["conv1", "conv2"]);
    expect(shortNames(["conv1", "layer4.1.conv2"])).toEqual(["conv1", "….1.conv2"]);
    expect(shortNames(["features.conv1", "features_conv2"])).toEqual(["…es.conv1", "…es_conv2"]);
  });
});

describe("listed", () => {
  it("reads a list of the address in the order of the choices, or takes what stands for it", () => {
    expect(listed("c,a,x", ["a", "b", "c"], ["b"])).toEqual(["a", "c"]);
    expect(listed("x", ["a", "b"], ["b"])).toEqual(["b"]);
    expect(listed(null, ["a", "b"], ["a", "b"])).toEqual(["a", "b"]);
  });
});
