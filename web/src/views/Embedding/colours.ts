/** The points' colours, and what they mean. */
import { AMOUNT, classColour, colourAt, css, ERROR, rgb, UNKNOWN, type Rgb } from "../../parts/scales";

export const COLOURINGS = {
  label: "class",
  predicted: "prediction",
  wrong: "right or wrong",
  confidence: "confidence",
  loss: "loss",
  quality: "quality",
  cluster: "cluster",
  channel: "a channel",
} as const;
export type Colouring = keyof typeof COLOURINGS;

/** An entry of a legend of kinds; `value` is what a filter takes. */
export type Kind = { value: number; name: string; colour: string; count: number };
/** What the colours mean: kinds, or amounts between two numbers. */
export type Legend =
  | { type: "kinds"; kinds: Kind[] }
  | { type: "amounts"; low: number; high: number; unknown: number };
export type Coloured = { colours: Uint8Array; legend: Legend };

/** Of right or wrong: 0 right, 1 wrong, -1 unknown. */
export const RIGHT_OR_WRONG = ["right", "wrong"];
const RIGHT = "#5b93c4";
const NOT_CLUSTERED = "in no cluster";

/** Colour by a whole number of each point; below 0 nothing is known. */
export function colourKinds(values: Int32Array, nameOf: (value: number) => string, colourOf = classColour): Coloured {
  const counts = new Map<number, number>();
  for (let k = 0; k < values.length; k++) counts.set(values[k], (counts.get(values[k]) ?? 0) + 1);
  const table = new Map([...counts.keys()].map((value) => [value, rgb(colourOf(value))]));
  const colours = new Uint8Array(4 * values.length);
  for (let k = 0; k < values.length; k++) put(colours, k, table.get(values[k]) as Rgb);
  const order = (value: number) => (value < 0 ? Infinity : value);
  const kinds = [...counts]
    .sort(([a], [b]) => order(a) - order(b))
    .map(([value, count]) => ({ value, name: nameOf(value), colour: css(table.get(value) as Rgb), count }));
  return { colours, legend: { type: "kinds", kinds } };
}

export function colourWrong(label: Int32Array, predicted: Int32Array): Coloured {
  const values = label.map((one, k) => (one < 0 || predicted[k] < 0 ? -1 : Number(one !== predicted[k])));
  return colourKinds(
    values,
    (value) => RIGHT_OR_WRONG[value] ?? "unknown",
    (value) => [RIGHT, ERROR][value] ?? UNKNOWN,
  );
}

export function colourClusters(values: Int32Array): Coloured {
  return colourKinds(values, (value) => (value < 0 ? NOT_CLUSTERED : `cluster ${value}`));
}

/**
 * Colour by an amount of each point. The scale goes from the 1st to the 99th percentile, so that one odd value does not
 * make all others look alike; `range` sets it.
 */
export function colourAmounts(values: Float32Array, range?: [number, number]): Coloured {
  const [low, high] = range ?? percentiles(values);
  const colours = new Uint8Array(4 * values.length);
  const none = rgb(UNKNOWN);
  let unknown = 0;
  for (let k = 0; k < values.length; k++) {
    const known = Number.isFinite(values[k]);
    if (!known) unknown++;
    put(colours, k, known ? colourAt(AMOUNT, high > low ? (values[k] - low) / (high - low) : 0.5) : none);
  }
  return { colours, legend: { type: "amounts", low, high, unknown } };
}

/** The 1st and the 99th percentile, of at most 100,000 of the values at equal distances. */
export function percentiles(values: Float32Array): [number, number] {
  const step = Math.max(1, Math.floor(values.length / 100_000));
  const some = values.filter((one, k) => k % step === 0 && Number.isFinite(one)).sort();
  if (!some.length) return [0, 1];
  return [some[Math.floor(0.01 * (some.length - 1))], some[Math.ceil(0.99 * (some.length - 1))]];
}

function put(colours: Uint8Array, k: number, colour: Rgb): void {
  colours[4 * k] = colour[0];
  colours[4 * k + 1] = colour[1];
  colours[4 * k + 2] = colour[2];
  colours[4 * k + 3] = 255;
}
