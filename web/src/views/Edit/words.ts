/** What an edit did to the prediction, in words. */

import { percent } from "../../parts/percent";

/** The index of the largest number; -1 where there is none. */
export function largest(values: ArrayLike<number>): number {
  let best = -1;
  for (let k = 0; k < values.length; k++) if (best < 0 || values[k] > values[best]) best = k;
  return best;
}

/**
 * One sentence on the change.
 *
 * @param watched The class whose probability is followed: the one that is explained.
 */
export function changeInWords(
  before: ArrayLike<number>,
  after: ArrayLike<number>,
  watched: number,
  nameOf: (index: number) => string,
): string {
  const points = 100 * (after[watched] - before[watched]);
  const [first, second] = [largest(before), largest(after)];
  const moved = `The probability of ${nameOf(watched)} ${wentHow(points)}: ${percent(before[watched])} before, ${percent(after[watched])} after.`;
  const said =
    first === second
      ? `The model still says ${nameOf(first)}.`
      : `The model now says ${nameOf(second)} (${percent(after[second])}) instead of ${nameOf(first)}.`;
  return `${moved} ${said}`;
}

function wentHow(points: number): string {
  const size = Math.abs(points);
  if (size < 0.05) return "did not change";
  const amount = size < 1 ? "less than 1 point" : size < 1.5 ? "1 point" : `${size.toFixed(0)} points`;
  return `${points < 0 ? "fell" : "rose"} by ${amount}`;
}
