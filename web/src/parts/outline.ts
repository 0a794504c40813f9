/** The outline of a region of pixels as an SVG path along their edges, in pixels. */
export function outline(mask: Uint8Array, height: number, width: number): string {
  const inside = (row: number, column: number) =>
    row >= 0 && column >= 0 && row < height && column < width && mask[row * width + column] !== 0;
  let path = "";
  for (let row = 0; row <= height; row += 1) path += runs(width, (column) => inside(row, column) !== inside(row - 1, column), (from, to) => `M${from} ${row}H${to}`);
  for (let column = 0; column <= width; column += 1) path += runs(height, (row) => inside(row, column) !== inside(row, column - 1), (from, to) => `M${column} ${from}V${to}`);
  return path;
}

/** Each run of places at which something holds. */
function runs(length: number, holds: (place: number) => boolean, draw: (from: number, to: number) => string): string {
  let path = "";
  let start = -1;
  for (let place = 0; place <= length; place += 1) {
    const now = place < length && holds(place);
    if (now && start < 0) start = place;
    if (!now && start >= 0) {
      path += draw(start, place);
      start = -1;
    }
  }
  return path;
}
