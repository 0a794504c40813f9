import { describe, expect, it } from "vitest";
import { confusion } from "./confusion";
import { cellsOf, cellText, matrixSvg } from "./matrix";

const table = confusion([0, 0, 0, 0, 1, 1, 2], [0, 0, 0, 1, 1, 0, 0], 4);

describe("cellsOf", () => {
  it("has counts, shares of the true class, and colours by the largest mistake", () => {
    const cells = cellsOf(table, [0, 1, 2]);
    const of = (truth: number, answer: number) => cells.find((cell) => cell.truth === truth && cell.answer === answer)!;
    expect(of(0, 0)).toMatchObject({ count: 3, share: 0.75, strength: 0.75 });
    expect(of(2, 0)).toMatchObject({ count: 1, share: 1, strength: 1 });
    expect(of(0, 1)).toMatchObject({ count: 1, share: 0.25, strength: 0.5 });
    expect(of(2, 2)).toMatchObject({ count: 0, share: 0, strength: 0 });
  });

  it("has no share of a class without images", () => {
    expect(cellsOf(table, [3])[0]).toMatchObject({ count: 0, share: 0, strength: 0 });
  });
});

describe("cellText", () => {
  it("says counts or percent, and nothing of an empty cell", () => {
    const cell = { truth: 0, answer: 1, count: 3, share: 0.0456, strength: 0 };
    expect([cellText(cell, false), cellText(cell, true)]).toEqual(["3", "4.6"]);
    expect(cellText({ ...cell, share: 0.0004 }, true)).toBe("<0.1");
    expect(cellText({ ...cell, count: 0 }, true)).toBe("");
  });
});

describe("matrixSvg", () => {
  it("escapes the names of classes", () => {
    const svg = matrixSvg(cellsOf(table, [0, 1]), [0, 1], ["<script>", "a&b"], false, "<b>");
    expect(svg).not.toContain("<script>");
    expect(svg).not.toContain("<b>");
    expect(svg.match(/<rect/g)).toHaveLength(5);
  });
});
