import { expect, test } from "vitest";
import { boundsOf, fit, matrixOf, project } from "./camera";
import { enclosed, enclosedOnScreen, foremost, gridOf, inside, nearest, within } from "./nearby";

/** Points that look random, the same each time. */
function scattered(n: number, dims = 2): Float32Array {
  const points = new Float32Array(3 * n);
  let state = 1;
  const next = () => (state = (state * 16807) % 2147483647) / 2147483647;
  for (let k = 0; k < n; k++) for (let c = 0; c < dims; c++) points[3 * k + c] = 20 * next() - 10;
  return points;
}

const POINTS = scattered(3000);
const ALL = new Uint8Array(3000).fill(1);

test("the nearest point is that of a search through all", () => {
  const grid = gridOf(POINTS);
  for (const [x, y] of [[0, 0], [9, -9], [-11, 4]]) {
    let best = -1;
    let least = 2;
    for (let k = 0; k < 3000; k++) {
      const distance = Math.hypot(POINTS[3 * k] - x, POINTS[3 * k + 1] - y);
      if (distance <= least) [best, least] = [k, distance];
    }
    expect(nearest(grid, x, y, 2, ALL)).toBe(best);
  }
});

test("what does not count is not found, and far from all nothing is", () => {
  const grid = gridOf(POINTS);
  const first = nearest(grid, 0, 0, 5, ALL);
  const counts = ALL.slice();
  counts[first] = 0;
  expect(nearest(grid, 0, 0, 5, counts)).not.toBe(first);
  expect(nearest(grid, 500, 500, 5, ALL)).toBe(-1);
});

test("a lasso has the points that lie inside its outline", () => {
  const outline = Float64Array.of(-5, -5, 5, -5, 0, 7);
  const all = [...ALL.keys()].filter((k) => inside(outline, POINTS[3 * k], POINTS[3 * k + 1]));
  expect(all.length).toBeGreaterThan(100);
  expect(enclosed(gridOf(POINTS), outline, ALL)).toEqual(all);
});

test("a lasso that crosses itself leaves out what it goes round twice", () => {
  const star = [0, 3, -2, -3, 3, 1, -3, 1, 2, -3];
  expect(inside(star, 0, 0)).toBe(false);
  expect(inside(star, 0, 2)).toBe(true);
});

test("a rectangle has the points inside it, up to a number", () => {
  const box = [-3, -2, 1, 4];
  const all = [...ALL.keys()].filter((k) => POINTS[3 * k] >= -3 && POINTS[3 * k] <= 1 && POINTS[3 * k + 1] >= -2 && POINTS[3 * k + 1] <= 4);
  expect(within(gridOf(POINTS), box, ALL, 9999).sort((a, b) => a - b)).toEqual(all);
  expect(within(gridOf(POINTS), box, ALL, 5)).toHaveLength(5);
  expect(within(gridOf(POINTS), [50, 50, 60, 60], ALL, 5)).toEqual([]);
});

test("grids of none, one and equal points work", () => {
  expect(nearest(gridOf(new Float32Array(0)), 0, 0, 1, new Uint8Array(0))).toBe(-1);
  expect(nearest(gridOf(Float32Array.of(2, 3, 0)), 2, 3, 1, Uint8Array.of(1))).toBe(0);
  expect(enclosed(gridOf(new Float32Array(30)), Float64Array.of(-1, -1, 1, -1, 0, 1), new Uint8Array(10).fill(1))).toHaveLength(10);
});

test("in 3-D the foremost of two points in line is found, and a lasso goes by pixels", () => {
  const points = Float32Array.of(0, 0, -1, 0, 0, 1, 3, 3, 0);
  const camera = { ...fit(boundsOf(points), 3, 400, 400), x: 0, y: 0, z: 0, yaw: 0, pitch: 0 };
  const matrix = matrixOf(camera, 400, 400);
  const counts = Uint8Array.of(1, 1, 1);
  expect(foremost(points, matrix, 200, 200, 10, counts, 400, 400)).toBe(1);
  const [x, y] = project(matrix, 3, 3, 0, 400, 400);
  const box = Float64Array.of(x - 5, y - 5, x + 5, y - 5, x + 5, y + 5, x - 5, y + 5);
  expect(enclosedOnScreen(points, matrix, box, counts, 400, 400)).toEqual([2]);
});
