import { describe, expect, it } from "vitest";

import type { Disagreement } from "../../api/types";
import { bestMatches, bySureness, moved, ofSide, sideOf, testWords } from "./agreement";
import { ckaSvg } from "./ckaSvg";

function disagreement(number: number, label: number | null, first: number, second: number, sure = [0.9, 0.8]): Disagreement {
  return { number, name: "", label, first, second, first_confidence: sure[0], second_confidence: sure[1] };
}

describe("where two disagree", () => {
  const all = [disagreement(1, 3, 3, 5), disagreement(2, 3, 5, 3, [0.99, 0.95]), disagreement(3, 3, 5, 8), disagreement(4, null, 1, 2)];
  it("says who is right", () => expect(all.map(sideOf)).toEqual(["first", "second", "neither", "unknown"]));
  it("takes those of a side", () => {
    expect(ofSide(all, "second").map((one) => one.number)).toEqual([2]);
    expect(ofSide(all, "all")).toHaveLength(4);
  });
  it("puts the surest first and leaves the list as it was", () => {
    expect(bySureness(all).map((one) => one.number)).toEqual([2, 1, 3, 4]);
    expect(all[0].number).toBe(1);
  });
});

describe("McNemar's test in words", () => {
  it("names the better one where the difference is hardly chance", () => {
    expect(testWords([900, 40, 5, 55], 0.0000001, "A", "B")).toBe("A is right more often, and chance is an unlikely explanation (McNemar's exact test, p < 0.001).");
  });
  it("says that it may be due to chance", () => expect(testWords([900, 6, 9, 85], 0.607, "A", "B")).toContain("may be due to chance"));
  it("says when there is nothing to test", () => {
    expect(testWords([900, 0, 0, 100], 1, "A", "B")).toContain("same images");
    expect(testWords([], null, "A", "B")).toContain("Without labels");
  });
});

describe("cells by keys", () => {
  it("move and stop at the edge", () => {
    expect(moved("ArrowDown", 0, 1, 2, 3)).toEqual([1, 1]);
    expect(moved("ArrowDown", 1, 1, 2, 3)).toEqual([1, 1]);
    expect(moved("End", 1, 0, 2, 3)).toEqual([1, 2]);
    expect(moved("a", 1, 0, 2, 3)).toBeNull();
  });
});

it("most alike layers", () => expect(bestMatches([[0.2, 0.9], [0.8, 0.1]])).toEqual([1, 0]));

it("the heat map to keep names each layer, escaped, and each cell", () => {
  const svg = ckaSvg({ first: ["<a>"], second: ["b", "c"], values: [[0.1, 0.9]], images: 50 }, "A", "B", { ink: "#000", surface: "#fff" });
  expect(svg).not.toContain("<a>");
  expect(svg).toContain("&#60;a&#62;, c: 0.900");
});
