import { expect, it } from "vitest";

import { outline } from "./outline";

it("goes round a pixel", () => {
  expect(outline(Uint8Array.from([0, 0, 0, 1]), 2, 2)).toBe("M1 1H2M1 2H2M1 1V2M2 1V2");
});
it("joins the edges of neighbours, and closes at the border", () => {
  expect(outline(Uint8Array.from([1, 1]), 1, 2)).toBe("M0 0H2M0 1H2M0 0V1M2 0V1");
});
it("of nothing is nothing", () => expect(outline(new Uint8Array(4), 2, 2)).toBe(""));
