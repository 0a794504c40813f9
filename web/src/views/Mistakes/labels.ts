/** Wrong answers where images have several labels. */

export type Kind = "missed" | "invented";

export interface WrongAnswer {
  number: number;
  label: number;
  probability: number;
  kind: Kind;
}

/** The server's columns as rows, in its order: the most confident first. */
export function wrongAnswers(numbers: ArrayLike<number>, labels: ArrayLike<number>, probability: ArrayLike<number>, missed: ArrayLike<number>): WrongAnswer[] {
  return Array.from(numbers, (number, k) => ({ number, label: labels[k], probability: probability[k], kind: missed[k] ? "missed" : "invented" }));
}
