/** Axes: where a value lies, where ticks stand and how numbers are written. */

export type ScaleKind = "linear" | "log";

export interface Scale {
  kind: ScaleKind;
  domain: [number, number];
  range: [number, number];
  /** Where a value lies; NaN where a logarithm has no place for it. */
  at(value: number): number;
  /** The value that lies there. */
  invert(place: number): number;
  ticks: number[];
}

/** Lowest and highest finite value; `positive` leaves out what a logarithm cannot take. Null where there is none. */
export function extent(values: Iterable<number | null | undefined>, positive = false): [number, number] | null {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null || value === undefined || !Number.isFinite(value) || (positive && value <= 0)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : null;
}

/** The step of 1, 2 or 5 times a power of ten that makes about `count` steps of a width. */
export function niceStep(width: number, count: number): number {
  const rough = width / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const share = rough / power;
  return (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10) * power;
}

/** Round numbers from low to high, about `count` of them. */
export function linearTicks(low: number, high: number, count = 5): number[] {
  if (!(high > low)) return [low];
  const step = niceStep(high - low, count);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const ticks = [];
  for (let index = first; index <= last; index += 1) ticks.push(Number((index * step).toFixed(Math.min(20, digits))));
  return ticks;
}

/** Round numbers between low and high: 1, 1.5, 2, 3 … or 1, 2 and 5 times the powers of ten, or these alone, or some of them. */
export function logTicks(low: number, high: number, count = 6): number[] {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  for (const [steps, every] of [[[1, 1.5, 2, 3, 4, 5, 6, 8], 1], [[1, 2, 5], 1], [[1], 1], [[1], 2], [[1], 3]] as [number[], number][]) {
    const ticks = [];
    for (let power = first; power <= last; power += 1) {
      if (power % every) continue;
      for (const step of steps) {
        const tick = Number(`${step}e${power}`);
        if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) ticks.push(tick);
      }
    }
    if (ticks.length <= count * 1.5) return ticks.length ? ticks : [low, high];
  }
  return [low, high];
}

/**
 * An axis. A linear domain is widened to whole ticks, unless it is `exact`; one of no width is given some.
 */
export function makeScale(
  kind: ScaleKind,
  domain: [number, number],
  range: [number, number],
  { count = 5, exact = false } = {},
): Scale {
  let [low, high] = domain;
  if (kind === "log") {
    if (high / low < 2.5) {
      const middle = Math.sqrt(low * high);
      [low, high] = [middle / 1.6, middle * 1.6];
    }
  } else if (high === low) {
    const around = Math.abs(low) / 2 || 1;
    [low, high] = [low - around, high + around];
  }
  if (kind === "linear" && !exact) {
    const step = niceStep(high - low, count);
    low = Math.floor(low / step + 1e-9) * step;
    high = Math.ceil(high / step - 1e-9) * step;
  }
  const forth = kind === "log" ? Math.log10 : (value: number) => value;
  const back = kind === "log" ? (value: number) => 10 ** value : (value: number) => value;
  const [from, width] = [forth(low), forth(high) - forth(low)];
  return {
    kind,
    domain: [low, high],
    range,
    at: (value) => {
      const place = kind === "log" && value <= 0 ? NaN : (forth(value) - from) / width;
      return range[0] + place * (range[1] - range[0]);
    },
    invert: (place) => back(from + ((place - range[0]) / (range[1] - range[0])) * width),
    ticks: kind === "log" ? logTicks(low, high, count) : linearTicks(low, high, count),
  };
}

/** The path of a line through points; where a value is missing the line has a gap. */
export function linePath(points: Iterable<[number, number]>): string {
  let path = "";
  let down = false;
  for (const [x, y] of points) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) {
      down = false;
      continue;
    }
    path += `${down ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`;
    down = true;
  }
  return path;
}

const MINUS = "−";

/** A number in few characters: 12,345 and 0.0123 and 1.2e−7. */
export function number(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : `${MINUS}∞`;
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text: string;
  if (size >= 1e9 || size < 1e-4) {
    text = value.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("e+", "e");
  } else if (size >= 10 ** digits) {
    text = Math.round(value).toLocaleString("en");
  } else {
    text = String(Number(value.toPrecision(digits)));
  }
  return text.replaceAll("-", MINUS);
}

/** A count in few characters: 950, 1.2 k, 34 M. */
export function compact(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]] as [string, number][]) {
    if (Math.abs(value) >= size * 0.9995) return `${number(value / size)} ${unit}`;
  }
  return number(value);
}

/** A span of time in words: 3 s, 4 min, 2 h 5 min. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}
