/** The grid of channels as a picture: a row a channel, its images with their frames. */
import type { NdArray } from "../../api/client";
import { pictureOf, type Picture } from "../../parts/heat";
import { pixelsOf } from "../../state/pixels";
import { sheet } from "../Image/saved";
import { boxOf, imagesOf, type Layer } from "./layer";

const MOST_SAVED = 16;
const IMAGES = 5;
const FRAME = [255, 159, 15];

export async function channelSheet(layer: Layer, channels: number[], words: (channel: number) => string[], title: string): Promise<Blob> {
  const rows = await Promise.all(channels.slice(0, MOST_SAVED).map((channel) => rowOf(layer, channel, words(channel).join(", "))));
  return sheet(rows.flat(), title);
}

async function rowOf(layer: Layer, channel: number, about: string) {
  const numbers = imagesOf(layer, channel).slice(0, IMAGES);
  const images = await Promise.all(numbers.map(pixelsOf));
  return images.map((image: NdArray, place) => ({
    group: `channel ${channel}: ${about}`,
    caption: `image ${numbers[place]}`,
    picture: framed(pictureOf(image), boxOf(layer, channel, place)),
  }));
}

/** Draw a frame of one pixel around a box: left, top, right, bottom. */
export function framed(picture: Picture, box: number[] | null): Picture {
  if (!box) return picture;
  const [left, top, right, bottom] = [Math.max(0, box[0] - 1), Math.max(0, box[1] - 1), Math.min(picture.width - 1, box[2]), Math.min(picture.height - 1, box[3])];
  for (let y = top; y <= bottom; y++)
    for (let x = left; x <= right; x++) if (y === top || y === bottom || x === left || x === right) picture.data.set(FRAME, 4 * (y * picture.width + x));
  return picture;
}
