/** Image and map before and after an edit, as one picture. */

import type { NdArray } from "../../api/client";
import { heatOf, pictureOf } from "../../parts/heat";
import { sheet, type Panel } from "../Image/saved";

export function outcomeSheet(title: string, before: NdArray, after: NdArray, mapBefore: NdArray | null, mapAfter: NdArray | null): Promise<Blob> {
  const panels = [
    panel("Before", "image", before, null),
    ...(mapBefore ? [panel("Before", "map", before, mapBefore)] : []),
    panel("After", "image", after, null),
    ...(mapAfter ? [panel("After", "map", after, mapAfter)] : []),
  ];
  return sheet(panels, title);
}

function panel(group: string, caption: string, image: NdArray, map: NdArray | null): Panel {
  const picture = map ? heatOf(image, map) : pictureOf(image);
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d")!.putImageData(new ImageData(picture.data, picture.width, picture.height), 0, 0);
  return { group, caption, canvas, map: map ?? image, target: "", method: "", layer: "" };
}
