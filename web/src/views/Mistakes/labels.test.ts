import { expect, it } from "vitest";

import { wrongAnswers } from "./labels";

it("columns of wrong answers become rows", () => {
  expect(wrongAnswers([3, 1], [0, 2], [0.1, 0.9], [1, 0])).toEqual([
    { number: 3, label: 0, probability: 0.1, kind: "missed" },
    { number: 1, label: 2, probability: 0.9, kind: "invented" },
  ]);
});
