import { describe, expect, it } from "vitest";

import { escapeXml } from "../../parts/download";
import { barLengths, blocks, diagramSvg, shapeWords, type Layer } from "./diagram";

function layer(name: string, output: number[], parameters = 0, macs: number | null = 0): Layer {
  return { name, kind: "Conv2d", input: [], output, parameters, macs, receptive_field: null, map: true, features: true };
}

it("shapes in words", () => {
  expect(shapeWords([32, 28, 28])).toBe("32 × 28 × 28");
  expect(shapeWords([])).toBe("–");
});

describe("bars", () => {
  it("have the square root of counts", () => expect(barLengths([0, 25, 100, null], true)).toEqual([0, 0.5, 1, null]));
  it("have shares as they are", () => expect(barLengths([0.25, 0.5], false)).toEqual([0.5, 1]));
  it("of zeros alone are none", () => expect(barLengths([0, 0], true)).toEqual([0, 0]));
});

it("blocks are as high as the maps and flat without", () => {
  const shapes = blocks([layer("a", [3, 8, 8]), layer("b", [7, 4, 4]), layer("c", [10])]);
  expect(shapes.map((shape) => shape.height)).toEqual([1, 0.5, 0]);
  expect(shapes[2].width).toBe(1);
});

describe("the SVG", () => {
  const colours = { ink: "#000000", muted: "#666666", accent: "#2a80c8", surface: "#ffffff" };
  it("names each layer, escaped", () => {
    const svg = diagramSvg("<b>", [layer("<script>", [1, 2, 2], 1234)], null, colours);
    expect(svg).not.toContain("<script>");
    expect(svg).toContain(escapeXml("<script>"));
    expect(svg).toContain("1.23 k");
  });
  it("has a column of scores where there are", () => {
    expect(diagramSvg("n", [layer("a", [1])], { title: "kNN accuracy", values: [0.5], texts: ["50%"] }, colours)).toContain(">50%<");
    expect(diagramSvg("n", [layer("a", [1])], null, colours)).not.toContain(">50%<");
  });
});
