/** Pixels of images as the model takes them; the last ones are remembered. */
import { compute, type NdArray } from "../api/client";
import { app, subjectPath } from "./app.svelte";

const REMEMBERED = 300;
const cache = new Map<string, Promise<NdArray>>();

/** The image (channels, height, width) of bytes, of the current subject and part. */
export function pixelsOf(number: number): Promise<NdArray> {
  const key = `${app.generation}/${app.subject}/${app.part}/${number}`;
  const known = cache.get(key);
  if (known) {
    cache.delete(key);
    cache.set(key, known);
    return known;
  }
  const asked = compute<null>(subjectPath(`pixels/${number}`), { part: app.part }).then(({ arrays }) => arrays.pixels);
  cache.set(key, asked);
  asked.catch(() => cache.delete(key));
  if (cache.size > REMEMBERED) cache.delete(cache.keys().next().value as string);
  return asked;
}
