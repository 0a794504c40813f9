/** Two networks on the same images: what McNemar's test says in words, and where they disagree. */

import type { Disagreement } from "../../api/types";

/** Which of two is right where they disagree. */
export type Side = "first" | "second" | "neither" | "unknown";

export function sideOf({ label, first, second }: Disagreement): Side {
  if (label === null || label === undefined) return "unknown";
  if (first === label) return "first";
  return second === label ? "second" : "neither";
}

export function ofSide(disagreements: Disagreement[], side: Side | "all"): Disagreement[] {
  return side === "all" ? disagreements : disagreements.filter((one) => sideOf(one) === side);
}

/** The surest contradictions first: by the lesser of the two confidences. */
export function bySureness(disagreements: Disagreement[]): Disagreement[] {
  const sureness = (one: Disagreement) => Math.min(one.first_confidence, one.second_confidence);
  return [...disagreements].sort((one, other) => sureness(other) - sureness(one) || one.number - other.number);
}

/** The p of McNemar's test as a sentence; `counts` are both right, only the first, only the second, both wrong. */
export function testWords(counts: number[], p: number | null | undefined, first: string, second: string): string {
  if (counts.length !== 4 || p === null || p === undefined) return "Without labels, it is unknown which of them is right.";
  const [, onlyFirst, onlySecond] = counts as [number, number, number, number];
  const written = p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
  if (!onlyFirst && !onlySecond) return "They are right and wrong on exactly the same images, so no test can separate them.";
  const better = onlyFirst > onlySecond ? first : second;
  return p < 0.05
    ? `${better} is right more often, and chance is an unlikely explanation (McNemar's exact test, ${written}).`
    : `The difference may be due to chance (McNemar's exact test, ${written}).`;
}

/** The place of a cell after a key in a grid of rows and columns; null for another key. */
export function moved(key: string, row: number, column: number, rows: number, columns: number): [number, number] | null {
  const to = (next: number, length: number) => Math.min(length - 1, Math.max(0, next));
  switch (key) {
    case "ArrowUp":
      return [to(row - 1, rows), column];
    case "ArrowDown":
      return [to(row + 1, rows), column];
    case "ArrowLeft":
      return [row, to(column - 1, columns)];
    case "ArrowRight":
      return [row, to(column + 1, columns)];
    case "Home":
      return [row, 0];
    case "End":
      return [row, columns - 1];
    default:
      return null;
  }
}

/** For each layer of the first the layer of the second that is most alike. */
export function bestMatches(values: number[][]): number[] {
  return values.map((row) => row.indexOf(Math.max(...row)));
}
