import { expect, test } from "vitest";
import { readCamera, writeCamera } from "./remembered";

test("a camera comes back from the address, of a plane and in space", () => {
  const plane = { dims: 2 as const, x: -1.5, y: 2e-7, z: 0, scale: 300, yaw: 0.6, pitch: 0.35 };
  expect(readCamera(writeCamera(plane), 2)).toEqual(plane);
  const space = { dims: 3 as const, x: 1, y: -2, z: 3, scale: 0.25, yaw: -0.7, pitch: 1.1 };
  expect(readCamera(writeCamera(space), 3)).toEqual(space);
});

test("what is no camera, or one of the other kind, is left out", () => {
  for (const text of [null, "", "1_2", "a_b_c", "1_2_0", "1_2_-3", "1_2_3_4_5_6"]) expect(readCamera(text, 2)).toBeNull();
});
