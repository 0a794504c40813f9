/** Image and map before and after an edit, as one picture. */

import type { NdArray } from "../../api/client";
import { heatOf, pictureOf } from "../../parts/heat";
import { sheet, type Drawn } from "../Image/saved";

export function outcomeSheet(title: string, before: NdArray, after: NdArray, mapBefore: NdArray | null, mapAfter: NdArray | null): Promise<Blob> {
  return sheet([...drawn("Before", before, mapBefore), ...drawn("After", after, mapAfter)], title);
}

function drawn(group: string, image: NdArray, map: NdArray | null): Drawn[] {
  const picture = { group, caption: "image", picture: pictureOf(image) };
  return map ? [picture, { group, caption: "map", picture: heatOf(image, map) }] : [picture];
}
