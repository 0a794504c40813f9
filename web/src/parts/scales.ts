/** Colours: of classes as glassnet.figures has them, of maps as figures/overlay.py, and a scale for amounts. */
export type Rgb = [number, number, number];

/** Ten colours that stay apart for colour-blind eyes, in glassnet's order (figures/style.py). */
export const PALETTE = [
  "#0568ab", "#ff9f0f", "#129e66", "#bf75ba", "#43b2ff", "#d46504", "#8c46ef", "#9fb499", "#ab2780", "#725916",
]; // prettier-ignore
export const ERROR = "#b5400a";
export const ACCENT = "#2a80c8";
/** Where nothing is known, such as an image without a label. */
export const UNKNOWN = "#8a90a0";
/** Opacity of the heat at a map's maximum (figures/overlay.py: COVER). */
export const COVER = 0.85;

export function rgb(hex: string): Rgb {
  const value = Number.parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

export function css([r, g, b]: Rgb): string {
  return `#${[r, g, b].map((one) => Math.round(one).toString(16).padStart(2, "0")).join("")}`;
}

export function classColour(index: number): string {
  return index < 0 ? UNKNOWN : PALETTE[index % PALETTE.length];
}

/** 256 steps between colours at equal distances, as matplotlib makes them. */
function ramp(stops: string[]): Uint8Array {
  const colours = stops.map(rgb);
  const table = new Uint8Array(256 * 3);
  for (let k = 0; k < 256; k++) {
    const at = (k / 255) * (colours.length - 1);
    const low = Math.min(Math.floor(at), colours.length - 2);
    for (let c = 0; c < 3; c++)
      table[3 * k + c] = Math.round(colours[low][c] + (at - low) * (colours[low + 1][c] - colours[low][c]));
  }
  return table;
}

/** Where a map raises the score. */
export const HEAT = ramp(["#e62e00", "#ff6a00", "#ffa51f"]);
/** Blue lowers the score, orange raises it. */
export const SIGNED = ramp(["#a8e0ff", "#1f8ae0", "#15171c", "#e07b00", "#ffdd99"]);
/** Amounts from little to much, apart from a light and from a dark page. */
export const AMOUNT = ramp(["#4a3a8c", "#3a6399", "#27858e", "#22a884", "#66c75c", "#c3d52f"]);

export function colourAt(table: Uint8Array, share: number): Rgb {
  const k = 3 * Math.min(255, Math.max(0, Math.floor(share * 256)));
  return [table[k], table[k + 1], table[k + 2]];
}

/** A CSS gradient of a scale, for its legend. */
export function gradient(table: Uint8Array): string {
  const stops = [0, 51, 102, 153, 204, 255].map((k) => css([table[3 * k], table[3 * k + 1], table[3 * k + 2]]));
  return `linear-gradient(to right, ${stops.join(", ")})`;
}
