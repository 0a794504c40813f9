/** Images of the data as one picture, six in a row. */

import { pictureOf } from "../../parts/heat";
import { pixelsOf } from "../../state/pixels";
import { sheet } from "./saved";

const IN_A_ROW = 6;

export async function gallerySheet(numbers: number[], caption: (number: number) => string, title: string): Promise<Blob> {
  const images = await Promise.all(numbers.map(pixelsOf));
  const group = (place: number) => `From place ${IN_A_ROW * Math.floor(place / IN_A_ROW) + 1}`;
  return sheet(images.map((image, place) => ({ group: group(place), caption: caption(numbers[place]), picture: pictureOf(image) })), title);
}
