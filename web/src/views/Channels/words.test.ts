import { expect, it } from "vitest";

import type { Layer } from "./layer";
import { changeWords, lostWords } from "./words";

it("a change is in points where it is a share", () => {
  expect(changeWords(0.012, true)).toBe("1.2 points");
  expect(changeWords(-0.004, true)).toBe("−0.4 points");
  expect(changeWords(0.0123, false)).toBe("0.012");
});

it("what is lost has its interval, where that is known", () => {
  const values = (...numbers: number[]) => Float32Array.from(numbers);
  const layer = { meta: { lost_is_share: true }, lost: values(0.012, 0.5, NaN), lostLow: values(0.01, NaN, NaN), lostHigh: values(0.014, NaN, NaN) } as Layer;
  expect(lostWords(layer, 0)).toBe("1.2 points (1.0 points to 1.4 points)");
  expect(lostWords(layer, 1)).toBe("50.0 points");
  expect(lostWords(layer, 2)).toBe("");
});
