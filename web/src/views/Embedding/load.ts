/** Embeddings as the server has them, made ready to be drawn; the last ones are remembered. */
import { compute, floats, ints, type Params } from "../../api/client";
import type { EmbeddingMeta, Job, LayerInfo } from "../../api/types";
import { app, subjectPath } from "../../state/app.svelte";
import { gridOf, type Grid } from "./nearby";

/** How many channels, or units, of a layer can be looked at one by one. */
export function unitsOf(layer: LayerInfo | undefined): number {
  return layer ? layer.channels || (layer.shape.length === 1 ? layer.shape[0] : 0) : 0;
}

/** What is asked for; what is null is left to the server. */
export type Settings = {
  layer: string;
  method: string;
  dims: 2 | 3;
  align: string | null;
  images: string | null;
  seed: string | null;
  perplexity: string | null;
};

export type Loaded = {
  settings: Settings;
  dims: 2 | 3;
  /** x, y, z one after the other; z is 0 in a plane. */
  points: Float32Array;
  numbers: Int32Array;
  /** Where each image lies in its part. */
  places: Int32Array;
  cluster: Int32Array | null;
  /** Of a plane: finds points by their place; made when it is first needed. */
  readonly grid: Grid | null;
  meta: EmbeddingMeta;
};

/** Points that are remembered in all. */
const REMEMBERED = 3_000_000;
const cache = new Map<string, Loaded>();

export async function loadEmbedding(settings: Settings, o: { signal: AbortSignal; onJob: (job: Job) => void }): Promise<Loaded> {
  const params: Params = { ...settings, part: app.part };
  const key = `${app.generation}/${app.subject}?${JSON.stringify(params)}`;
  const known = cache.get(key);
  if (known) {
    cache.delete(key);
    cache.set(key, known);
    return known;
  }
  const { arrays, meta } = await compute<EmbeddingMeta>(subjectPath("embedding"), params, o);
  const loaded = prepare(settings, floats(arrays, "points"), ints(arrays, "numbers"), arrays.cluster ? ints(arrays, "cluster") : null, meta);
  cache.set(key, loaded);
  forget();
  return loaded;
}

function forget(): void {
  let points = 0;
  for (const key of [...cache.keys()].reverse()) {
    points += (cache.get(key) as Loaded).numbers.length;
    if (points > REMEMBERED && cache.size > 1) cache.delete(key);
  }
}

function prepare(settings: Settings, flat: Float32Array, numbers: Int32Array, cluster: Int32Array | null, meta: EmbeddingMeta): Loaded {
  const dims = meta.dims === 3 ? 3 : 2;
  const points = dims === 3 ? flat : withDepth(flat, meta.dims);
  const places = numbers.map((number) => app.placeOf(number));
  let grid: Grid | null = null;
  return {
    ...{ settings, dims, points, numbers, places, cluster, meta },
    get grid() {
      return dims === 2 ? (grid ??= gridOf(points)) : null;
    },
  };
}

function withDepth(flat: Float32Array, dims: number): Float32Array {
  const n = flat.length / dims;
  const points = new Float32Array(3 * n);
  for (let k = 0; k < n; k++) for (let c = 0; c < Math.min(2, dims); c++) points[3 * k + c] = flat[dims * k + c];
  return points;
}

/** Whether two embeddings are of the same images in the same order, so that their points can move. */
export function sameImages(a: Loaded, b: Loaded): boolean {
  if (a.numbers.length !== b.numbers.length) return false;
  for (let k = 0; k < a.numbers.length; k++) if (a.numbers[k] !== b.numbers[k]) return false;
  return true;
}
