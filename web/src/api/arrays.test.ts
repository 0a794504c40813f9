import { expect, test } from "vitest";
import { decodeArrays } from "./arrays";
import { keyOf } from "./exported";
import type { ArrayMeta } from "./types";

const METAS: ArrayMeta[] = [
  { name: "mask", dtype: "uint8", shape: [3] },
  { name: "points", dtype: "float32", shape: [2, 1] },
  { name: "numbers", dtype: "int32", shape: [1] },
];

test("arrays lie one after the other without padding", () => {
  const body = new Uint8Array(3 + 8 + 4);
  const view = new DataView(body.buffer);
  body.set([1, 2, 3]);
  view.setFloat32(3, 0.5, true);
  view.setFloat32(7, -2, true);
  view.setInt32(11, 70_000, true);
  const { mask, points, numbers } = decodeArrays(body.buffer, METAS);
  expect([...mask.data]).toEqual([1, 2, 3]);
  expect([...points.data]).toEqual([0.5, -2]);
  expect(points.shape).toEqual([2, 1]);
  expect([...numbers.data]).toEqual([70_000]);
});

test("a body that ends too soon is refused", () => {
  expect(() => decodeArrays(new ArrayBuffer(10), METAS)).toThrow(/"points"/);
});

test("a request of an export is named by its sorted query, without wait", () => {
  expect(keyOf("GET", "/subjects/a/maps/3", { part: "test", wait: 0.5, layers: "conv,fc 1", target: null })).toBe(
    "GET /subjects/a/maps/3?layers=conv,fc 1&part=test",
  );
});
