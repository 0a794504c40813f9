/** A channel's answer to an image as pixels. */

import type { Picture } from "../../parts/heat";
import { AMOUNT, colourAt, SIGNED } from "../../parts/scales";

/**
 * Colours the values of a channel: from little to much, or both signs in two colours.
 *
 * @param scale The value with the last colour.
 */
export function channelPicture(values: Float32Array, height: number, width: number, scale: number, signed: boolean): Picture {
  const data = new Uint8ClampedArray(4 * height * width);
  values.forEach((value, k) => {
    const share = scale > 0 ? value / scale : 0;
    data.set([...colourAt(signed ? SIGNED : AMOUNT, signed ? 0.5 + 0.5 * share : share), 255], 4 * k);
  });
  return { data, width, height };
}
