/** Covers that were tried, and what they say together about a map. */

export interface Trial {
  kind: "hottest" | "random";
  /** What the map was, such as "Grad-CAM at conv3". */
  map: string;
  percent: number;
  /** Pixels that were covered. */
  pixels: number;
  /** Those of them that had another colour before: a cover of the background's colour changes little of it. */
  differing: number;
  /** The class that is followed. */
  watched: string;
  before: number;
  after: number;
  /** What the model said after. */
  said: string;
}

/** By how many points the probability fell on average; null where nothing was tried. */
export function meanFall(trials: Trial[]): number | null {
  if (!trials.length) return null;
  return (100 * trials.reduce((sum, one) => sum + one.before - one.after, 0)) / trials.length;
}

/** The least difference that is called one, in points. */
const CLEAR = 5;

/**
 * What the trials of one map, class and share say together; empty until both kinds were tried.
 *
 * One random place says little, so their number is stated.
 */
export function verdict(trials: Trial[]): string {
  const hottest = meanFall(trials.filter((one) => one.kind === "hottest"));
  const random = trials.filter((one) => one.kind === "random");
  const chance = meanFall(random);
  if (hottest === null || chance === null) return "";
  const [first] = trials;
  const places = random.length === 1 ? "a random place of this size" : `${random.length} random places of this size on average`;
  const figures = `Covering the hottest ${first.percent}% changes the probability of ${first.watched} by ${points(-hottest)} points, ${places} by ${points(-chance)}.`;
  if (hottest > chance + CLEAR) return `${figures} The map points at something that the model uses.`;
  if (hottest < chance - CLEAR) return `${figures} Other places matter more than those the map points at.`;
  return `${figures} The difference is not clear: try more random places, or a larger fraction.`;
}

function points(value: number): string {
  const rounded = Math.abs(value) < 10 ? value.toFixed(1) : value.toFixed(0);
  return rounded.replace("-", "−").replace(/^−0\.0$/, "0.0").replace(/^(?=[1-9]|0\.[1-9])/, "+");
}

/** The trials that can be compared with this one: same map, class, share. */
export function alike(trials: Trial[], one: Trial): Trial[] {
  return trials.filter((other) => other.map === one.map && other.watched === one.watched && other.percent === one.percent);
}
