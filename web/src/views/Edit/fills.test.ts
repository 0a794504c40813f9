import { describe, expect, it } from "vitest";
import { colourOf, edgeColour, fromHex, hasGround, hexOf } from "./fills";

// A bright pixel on a ground of 7.
const digit = Uint8Array.from([7, 7, 7, 7, 200, 7, 7, 7, 7]);

describe("fills", () => {
  it("find the ground of a digit", () => {
    expect(edgeColour(digit, 1, 3, 3)).toEqual([7]);
    expect(hasGround(digit, 1, 3, 3)).toBe(true);
  });

  it("find no ground where the border is of many colours", () => {
    expect(hasGround(Uint8Array.from({ length: 9 }, (_, k) => 28 * k), 1, 3, 3)).toBe(false);
  });

  it("are a value for each channel", () => {
    const two = Uint8Array.from([0, 10, 100, 200]);
    expect(colourOf("mean", [], two, [2, 1, 2])).toEqual([5, 150]);
    expect(colourOf("white", [], two, [2, 1, 2])).toEqual([255, 255]);
    expect(colourOf("own", [3], two, [2, 1, 2])).toEqual([3, 3]);
    expect(colourOf("original", [3], two, [2, 1, 2])).toBe("original");
  });

  it("go to a colour field and back", () => {
    expect(hexOf([10])).toBe("#0a0a0a");
    expect(fromHex(hexOf([1, 128, 255]))).toEqual([1, 128, 255]);
  });
});
