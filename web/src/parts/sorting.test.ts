import { describe, expect, it } from "vitest";

import { sortedBy } from "./sorting";

describe("sortedBy", () => {
  const values = Float32Array.from([0.5, NaN, 0.1, 0.9, 0.1]);
  it("puts the worst first, equals in their order, unknown last", () => {
    expect(sortedBy(values, "lowest")).toEqual([2, 4, 0, 3, 1]);
  });
  it("puts the best first, unknown last all the same", () => {
    expect(sortedBy(values, "highest")).toEqual([3, 0, 2, 4, 1]);
  });
  it("sorts some places only", () => expect(sortedBy(values, "lowest", [3, 1, 0])).toEqual([0, 3, 1]));
});
