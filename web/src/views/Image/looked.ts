/** What the image view looks at: an image of the data by its number, or an own one by its pixels. */

import { compute, type Computed, type ComputeOptions, type Params } from "../../api/client";
import { app, subjectPath } from "../../state/app.svelte";
import type { OwnImage } from "../../state/own.svelte";

export type Looked = { number: number; own: null } | { number: null; own: OwnImage };

/** Asks a route about an image: GET with its number, or POST with the pixels. */
export function ask<M>(route: string, looked: Looked, params: Params, o: ComputeOptions): Promise<Computed<M>> {
  const query = { part: app.part, ...params };
  if (looked.own === null) return compute<M>(subjectPath(`${route}/${looked.number}`), query, o);
  return compute<M>(subjectPath(route), query, { ...o, body: bytesOf(looked.own) });
}

function bytesOf(image: OwnImage): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(image.pixels.data);
}
