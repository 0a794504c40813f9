import { describe, expect, it } from "vitest";
import { percent } from "../../parts/percent";
import { changeInWords, largest } from "./words";

const name = (index: number) => ["zero", "one", "two"][index];

describe("changeInWords", () => {
  it("says how far the probability fell, and what the model says now", () => {
    expect(changeInWords([0.02, 0.95, 0.03], [0.7, 0.2, 0.1], 1, name)).toBe(
      "The probability of one fell by 75 points: 95% before, 20% after. The model now says zero (70%) instead of one.",
    );
  });

  it("says that the answer stayed", () => {
    expect(changeInWords([0.1, 0.9, 0], [0.095, 0.905, 0], 1, name)).toBe(
      "The probability of one rose by less than 1 point: 90% before, 90.5% after. The model still says one.",
    );
  });

  it("says that nothing changed", () => {
    expect(changeInWords([0, 1, 0], [0, 1, 0], 2, name)).toContain("The probability of two did not change: 0% before");
  });
});

describe("percent", () => {
  it("never rounds to certainty", () => {
    expect([0, 0.0004, 0.05, 0.5, 0.9996, 1].map(percent)).toEqual(["0%", "< 0.1%", "5%", "50%", "> 99.9%", "100%"]);
  });
});

describe("largest", () => {
  it("is the first of equals, and -1 of nothing", () => {
    expect(largest([1, 3, 3])).toBe(1);
    expect(largest([])).toBe(-1);
  });
});
