/** Which pixels a brush touches: pure geometry, in pixels of the image, row by row. */

export interface Point {
  x: number;
  y: number;
}

/** Puts a point where a brush of this many pixels is symmetric: on a pixel's centre, or between pixels. */
export function snap(point: Point, diameter: number): Point {
  const odd = Math.round(diameter) % 2 === 1;
  const to = (value: number) => (odd ? Math.floor(value) + 0.5 : Math.round(value));
  return { x: to(point.x), y: to(point.y) };
}

/**
 * The pixels under a round brush that is drawn from one point to another.
 *
 * A pixel is touched where its centre lies within half a diameter of the line between the (snapped) points.
 *
 * @param diameter In pixels, 1 or more.
 * @returns Indices row * width + column, ascending; those outside the image are left out.
 */
export function strokePixels(from: Point, to: Point, diameter: number, width: number, height: number): number[] {
  const [a, b] = [snap(from, diameter), snap(to, diameter)];
  const radius = Math.max(1, Math.round(diameter)) / 2;
  const limit = radius * radius + 1e-9;
  const [left, right] = bounds(a.x, b.x, radius, width);
  const [top, bottom] = bounds(a.y, b.y, radius, height);
  const pixels: number[] = [];
  for (let row = top; row <= bottom; row++)
    for (let column = left; column <= right; column++)
      if (squaredDistance(column + 0.5, row + 0.5, a, b) <= limit) pixels.push(row * width + column);
  return pixels;
}

function bounds(first: number, second: number, radius: number, size: number): [number, number] {
  const low = Math.floor(Math.min(first, second) - radius);
  const high = Math.ceil(Math.max(first, second) + radius);
  return [Math.max(0, low), Math.min(size - 1, high)];
}

/** Squared distance of a point from the line between two others. */
function squaredDistance(x: number, y: number, a: Point, b: Point): number {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const length = dx * dx + dy * dy;
  const along = length ? Math.min(1, Math.max(0, ((x - a.x) * dx + (y - a.y) * dy) / length)) : 0;
  return (x - a.x - along * dx) ** 2 + (y - a.y - along * dy) ** 2;
}
