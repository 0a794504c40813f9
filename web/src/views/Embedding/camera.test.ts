import { expect, test } from "vitest";
import { between, boundsOf, fit, matrixOf, moved, project, rotated, unproject, zoomed } from "./camera";

const POINTS = Float32Array.of(-10, -2, 0, 30, 6, 0, 0, 0, 0);
const CLOUD = Float32Array.of(-1, -1, -1, 3, 1, 1, 0, 0, 5);
const [W, H] = [600, 400];

test("a fitted camera shows all points", () => {
  for (const [points, dims] of [[POINTS, 2], [CLOUD, 3]] as const) {
    const matrix = matrixOf(fit(boundsOf(points), dims, W, H), W, H);
    for (let k = 0; k < points.length; k += 3) {
      const [x, y, depth] = project(matrix, points[k], points[k + 1], points[k + 2], W, H);
      expect(x).toBeGreaterThan(0);
      expect(x).toBeLessThan(W);
      expect(y).toBeGreaterThan(0);
      expect(y).toBeLessThan(H);
      expect(depth).toBeGreaterThan(0);
    }
  }
});

test("a pixel's point lies under that pixel", () => {
  const camera = fit(boundsOf(POINTS), 2, W, H);
  const [x, y] = unproject(camera, 123, 45, W, H);
  const [px, py] = project(matrixOf(camera, W, H), x, y, 0, W, H);
  expect(px).toBeCloseTo(123, 3);
  expect(py).toBeCloseTo(45, 3);
});

test("what is under the pointer stays there when one comes nearer", () => {
  const camera = fit(boundsOf(POINTS), 2, W, H);
  const before = unproject(camera, 50, 60, W, H);
  const after = unproject(zoomed(camera, 3, 50, 60, W, H), 50, 60, W, H);
  expect(after[0]).toBeCloseTo(before[0], 6);
  expect(after[1]).toBeCloseTo(before[1], 6);
});

test("a dragged plane and a dragged cloud follow the pointer", () => {
  for (const dims of [2, 3] as const) {
    const camera = fit(boundsOf(CLOUD), dims, W, H);
    const [x, y] = project(matrixOf(camera, W, H), camera.x, camera.y, camera.z, W, H);
    const [mx, my] = project(matrixOf(moved(camera, 20, -10, H), W, H), camera.x, camera.y, camera.z, W, H);
    expect(mx - x).toBeCloseTo(20, 2);
    expect(my - y).toBeCloseTo(-10, 2);
  }
});

test("what lies nearer has the smaller depth, also after a turn", () => {
  let camera = { ...fit(boundsOf(CLOUD), 3, W, H), yaw: 0, pitch: 0 };
  const depth = (z: number) => project(matrixOf(camera, W, H), 0, 0, z, W, H)[2];
  expect(depth(1)).toBeLessThan(depth(-1));
  camera = rotated(camera, Math.PI / 0.008, 0);
  expect(depth(1)).toBeGreaterThan(depth(-1));
});

test("between two cameras lies their middle", () => {
  const camera = fit(boundsOf(POINTS), 2, W, H);
  const middle = between({ ...camera, scale: 1, x: 0 }, { ...camera, scale: 100, x: 4 }, 0.5);
  expect(middle.scale).toBeCloseTo(10);
  expect(middle.x).toBe(2);
});

test("no points and equal points have a camera too", () => {
  for (const points of [new Float32Array(0), Float32Array.of(2, 2, 0, 2, 2, 0)])
    expect(Number.isFinite(fit(boundsOf(points), 2, W, H).scale)).toBe(true);
});
