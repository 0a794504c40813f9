/** Which points lie near a place or inside an outline, of up to a million. */
import { project, type Matrix } from "./camera";

/** Points of the plane in cells of a grid: those of cell c are `order[start[c] … start[c + 1]]`. */
export type Grid = {
  points: Float32Array;
  x: number;
  y: number;
  cell: number;
  columns: number;
  rows: number;
  start: Int32Array;
  order: Int32Array;
};

/** Points a cell on average. */
const CROWD = 4;

/** Sort points (x, y, z one after the other) into cells. */
export function gridOf(points: Float32Array): Grid {
  const n = points.length / 3;
  let [x, y, right, top] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let k = 0; k < n; k++) {
    x = Math.min(x, points[3 * k]);
    right = Math.max(right, points[3 * k]);
    y = Math.min(y, points[3 * k + 1]);
    top = Math.max(top, points[3 * k + 1]);
  }
  const side = Math.max(right - x, top - y, 1e-9);
  const cell = side / Math.max(1, Math.ceil(Math.sqrt(n / CROWD)));
  const columns = n ? Math.floor((right - x) / cell) + 1 : 1;
  const rows = n ? Math.floor((top - y) / cell) + 1 : 1;
  const grid: Grid = { points, x, y, cell, columns, rows, start: new Int32Array(columns * rows + 1), order: new Int32Array(n) };
  for (let k = 0; k < n; k++) grid.start[cellOf(grid, k) + 1]++;
  for (let c = 0; c < columns * rows; c++) grid.start[c + 1] += grid.start[c];
  const next = grid.start.slice();
  for (let k = 0; k < n; k++) grid.order[next[cellOf(grid, k)]++] = k;
  return grid;
}

function cellOf({ points, x, y, cell, columns, rows }: Grid, k: number): number {
  const column = Math.min(columns - 1, Math.floor((points[3 * k] - x) / cell));
  const row = Math.min(rows - 1, Math.floor((points[3 * k + 1] - y) / cell));
  return row * columns + column;
}

/** Call `visit` with each point of the cells that a rectangle touches. */
function inCells(grid: Grid, left: number, bottom: number, right: number, top: number, visit: (k: number) => void): void {
  const clamp = (value: number, most: number) => Math.min(most, Math.max(0, Math.floor(value)));
  const [c0, c1] = [clamp((left - grid.x) / grid.cell, grid.columns - 1), clamp((right - grid.x) / grid.cell, grid.columns - 1)];
  const [r0, r1] = [clamp((bottom - grid.y) / grid.cell, grid.rows - 1), clamp((top - grid.y) / grid.cell, grid.rows - 1)];
  for (let row = r0; row <= r1; row++)
    for (let at = grid.start[row * grid.columns + c0]; at < grid.start[row * grid.columns + c1 + 1]; at++) visit(grid.order[at]);
}

/** The nearest point of the plane within a radius that `counts` lets count; -1 for none. */
export function nearest(grid: Grid, x: number, y: number, radius: number, counts: Uint8Array): number {
  let best = -1;
  let least = radius * radius;
  inCells(grid, x - radius, y - radius, x + radius, y + radius, (k) => {
    if (!counts[k]) return;
    const distance = (grid.points[3 * k] - x) ** 2 + (grid.points[3 * k + 1] - y) ** 2;
    if (distance <= least) [best, least] = [k, distance];
  });
  return best;
}

/** The points inside a rectangle (left, bottom, right, top), at most so many; those that do not count are left out. */
export function within(grid: Grid, [left, bottom, right, top]: number[], counts: Uint8Array, most: number): number[] {
  const found: number[] = [];
  inCells(grid, left, bottom, right, top, (k) => {
    const [x, y] = [grid.points[3 * k], grid.points[3 * k + 1]];
    if (found.length < most && counts[k] && x >= left && x <= right && y >= bottom && y <= top) found.push(k);
  });
  return found;
}

/** In 3-D: of the points within a radius in pixels the one that lies foremost, those straight below first. */
export function foremost(
  points: Float32Array,
  matrix: Matrix,
  px: number,
  py: number,
  radius: number,
  counts: Uint8Array,
  width: number,
  height: number,
): number {
  let best = -1;
  let least = Infinity;
  for (let k = 0; k < counts.length; k++) {
    if (!counts[k]) continue;
    const [x, y, depth] = project(matrix, points[3 * k], points[3 * k + 1], points[3 * k + 2], width, height);
    const distance = Math.hypot(x - px, y - py);
    if (depth <= 0 || distance > radius) continue;
    const badness = distance / radius + depth;
    if (badness < least) [best, least] = [k, badness];
  }
  return best;
}

/** Whether a place lies inside an outline (x, y one after the other), by the even-odd rule. */
export function inside(outline: ArrayLike<number>, x: number, y: number): boolean {
  let odd = false;
  const n = outline.length / 2;
  for (let a = 0, b = n - 1; a < n; b = a++) {
    const [ax, ay, bx, by] = [outline[2 * a], outline[2 * a + 1], outline[2 * b], outline[2 * b + 1]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}

/** Points of the plane inside an outline of the plane. */
export function enclosed(grid: Grid, outline: Float64Array, counts: Uint8Array): number[] {
  let [left, bottom, right, top] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let k = 0; k < outline.length; k += 2) {
    left = Math.min(left, outline[k]);
    right = Math.max(right, outline[k]);
    bottom = Math.min(bottom, outline[k + 1]);
    top = Math.max(top, outline[k + 1]);
  }
  const found: number[] = [];
  const { points } = grid;
  inCells(grid, left, bottom, right, top, (k) => {
    const [x, y] = [points[3 * k], points[3 * k + 1]];
    if (counts[k] && x >= left && x <= right && y >= bottom && y <= top && inside(outline, x, y)) found.push(k);
  });
  return found.sort((a, b) => a - b);
}

/** In 3-D: points whose pixels lie inside an outline in pixels. */
export function enclosedOnScreen(
  points: Float32Array,
  matrix: Matrix,
  outline: Float64Array,
  counts: Uint8Array,
  width: number,
  height: number,
): number[] {
  const found: number[] = [];
  for (let k = 0; k < counts.length; k++) {
    if (!counts[k]) continue;
    const [x, y, depth] = project(matrix, points[3 * k], points[3 * k + 1], points[3 * k + 2], width, height);
    if (depth > 0 && inside(outline, x, y)) found.push(k);
  }
  return found;
}
