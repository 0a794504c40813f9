import { expect, test } from "vitest";
import { enlarged, heatOf, largest, pictureOf } from "./heat";
import { AMOUNT, classColour, colourAt, css, HEAT, PALETTE, SIGNED } from "./scales";

const GREY = { data: Uint8Array.of(0, 100, 200, 255), shape: [1, 2, 2] };

test("a grey image has three equal channels", () => {
  expect([...pictureOf(GREY).data.slice(4, 8)]).toEqual([100, 100, 100, 255]);
});

test("a map of zeros leaves the grey image", () => {
  expect([...heatOf(GREY, { data: new Float32Array(4), shape: [2, 2] }).data]).toEqual([...pictureOf(GREY).data]);
});

test("the maximum is covered by 85 % of the last heat colour", () => {
  const { data } = heatOf(GREY, { data: Float32Array.of(0, 0, 0, 3), shape: [2, 2] });
  const last = colourAt(HEAT, 1);
  last.forEach((one, c) => expect(Math.abs(data[12 + c] - (0.15 * 255 + 0.85 * one))).toBeLessThanOrEqual(1));
  expect([...data.slice(0, 3)]).toEqual([0, 0, 0]);
});

test("opacity 0 shows the grey image", () => {
  expect([...heatOf(GREY, { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2] }, { opacity: 0 }).data]).toEqual([...pictureOf(GREY).data]);
});

test("of channels the one of greatest magnitude counts, with its sign", () => {
  const map = { data: Float32Array.of(1, 0, 0, 0, -4, 0, 0, 2), shape: [2, 2, 2] };
  const { data } = heatOf(GREY, map);
  expect([...data.slice(0, 3)]).toEqual(colourAt(SIGNED, 0));
  expect([...data.slice(12, 15)]).toEqual(colourAt(SIGNED, 0.75));
});

test("a map is enlarged between pixel centres", () => {
  const map = enlarged({ data: Float32Array.of(0, 4), shape: [1, 2] }, 1, 4);
  expect([...map.data]).toEqual([0, 1, 3, 4]);
});

test("what is not finite does not set the scale", () => {
  expect(largest([1, NaN, -3, Infinity])).toBe(3);
});

test("scales begin and end with their colours; classes come again after ten", () => {
  expect(css(colourAt(HEAT, 0))).toBe("#e62e00");
  expect(css(colourAt(AMOUNT, 1))).toBe("#c3d52f");
  expect(classColour(12)).toBe(PALETTE[2]);
});
