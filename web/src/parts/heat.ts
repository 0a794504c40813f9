/** A map over its image as pixels: heat over the grey image, or both signs in two colours; as figures/overlay.py. */
import type { NdArray } from "../api/arrays";
import { COVER, HEAT, SIGNED, colourAt } from "./scales";

export type Picture = { data: Uint8ClampedArray<ArrayBuffer>; width: number; height: number };

/** Draw an image (channels, height, width) of bytes. */
export function pictureOf({ data, shape: [channels, height, width] }: NdArray): Picture {
  const size = height * width;
  const out = new Uint8ClampedArray(4 * size);
  for (let k = 0; k < size; k++) {
    for (let c = 0; c < 3; c++) out[4 * k + c] = data[(channels >= 3 ? c : 0) * size + k];
    out[4 * k + 3] = 255;
  }
  return { data: out, width, height };
}

/**
 * Lay a map over an image, scaled by the map's own maximum unless `scale` says by what.
 *
 * A map (h, w) is heat where it is above 0, over the grey image; one with channels, or `signed`, is drawn by sign alone.
 */
export function heatOf(image: NdArray, map: NdArray, o: { opacity?: number; signed?: boolean; scale?: number } = {}): Picture {
  const [, height, width] = image.shape;
  const fitted = enlarged(map, height, width);
  const signed = o.signed ?? (map.shape.length === 3 || smallest(map.data) < 0);
  const values = fitted.shape.length === 3 ? strongest(fitted) : fitted.data;
  const scale = o.scale ?? largest(values);
  const picture = pictureOf(image);
  return signed ? drawSigned(picture, values, scale) : drawHeat(picture, values, scale, o.opacity ?? 1);
}

function drawHeat(picture: Picture, values: ArrayLike<number>, scale: number, opacity: number): Picture {
  const { data } = picture;
  for (let k = 0; k < values.length; k++) {
    const share = scale > 0 ? Math.min(1, Math.max(0, values[k] / scale)) : 0;
    const cover = COVER * share * opacity;
    const grey = 0.299 * data[4 * k] + 0.587 * data[4 * k + 1] + 0.114 * data[4 * k + 2];
    const heat = colourAt(HEAT, share);
    for (let c = 0; c < 3; c++) data[4 * k + c] = grey * (1 - cover) + heat[c] * cover;
  }
  return picture;
}

function drawSigned(picture: Picture, values: ArrayLike<number>, scale: number): Picture {
  const { data } = picture;
  for (let k = 0; k < values.length; k++) {
    const colour = colourAt(SIGNED, 0.5 + (scale > 0 ? (0.5 * values[k]) / scale : 0));
    for (let c = 0; c < 3; c++) data[4 * k + c] = colour[c];
  }
  return picture;
}

/** Of each pixel's channels the one of greatest magnitude. */
function strongest({ data, shape: [channels, height, width] }: NdArray): Float32Array {
  const size = height * width;
  const out = new Float32Array(size);
  for (let c = 0; c < channels; c++)
    for (let k = 0; k < size; k++) if (Math.abs(data[c * size + k]) > Math.abs(out[k])) out[k] = data[c * size + k];
  return out;
}

/** Greatest magnitude of a map; what is not finite does not count. */
export function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let k = 0; k < values.length; k++) {
    const size = Math.abs(values[k]);
    if (size > most && Number.isFinite(size)) most = size;
  }
  return most;
}

function smallest(values: ArrayLike<number>): number {
  let least = Infinity;
  for (let k = 0; k < values.length; k++) if (values[k] < least) least = values[k];
  return least;
}

/** Resize the last two dimensions, bilinearly between pixel centres. */
export function enlarged(map: NdArray, height: number, width: number): NdArray {
  const [h, w] = map.shape.slice(-2);
  if (h === height && w === width) return map;
  const planes = map.data.length / (h * w);
  const out = new Float32Array(planes * height * width);
  for (let p = 0; p < planes; p++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        out[(p * height + y) * width + x] = between(map.data, p * h * w, h, w, ((y + 0.5) * h) / height - 0.5, ((x + 0.5) * w) / width - 0.5);
  return { data: out, shape: [...map.shape.slice(0, -2), height, width] };
}

function between(data: ArrayLike<number>, at: number, h: number, w: number, y: number, x: number): number {
  const top = Math.min(h - 1, Math.max(0, Math.floor(y)));
  const left = Math.min(w - 1, Math.max(0, Math.floor(x)));
  const below = Math.min(h - 1, top + 1);
  const right = Math.min(w - 1, left + 1);
  const v = Math.min(1, Math.max(0, y - top));
  const u = Math.min(1, Math.max(0, x - left));
  const upper = data[at + top * w + left] * (1 - u) + data[at + top * w + right] * u;
  const lower = data[at + below * w + left] * (1 - u) + data[at + below * w + right] * u;
  return upper * (1 - v) + lower * v;
}
