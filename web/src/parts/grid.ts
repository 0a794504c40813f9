/** Which rows of a long grid are in sight, with a few above and below. */
export function rowsInSight(top: number, height: number, row: number, rows: number, spare = 4): { first: number; last: number } {
  const first = Math.max(0, Math.floor(top / row) - spare);
  const last = Math.min(rows, Math.ceil((top + height) / row) + spare);
  return { first, last: Math.max(first, last) };
}
