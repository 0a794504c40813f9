/** A static export: the same answers as files, listed in data/index.json by their request. */
import { ApiError } from "./errors";
import type { ArrayMeta } from "./types";

export type Entry = { file: string; type: string; arrays: ArrayMeta[] | null; meta: unknown };
type Params = Record<string, string | number | boolean | null | undefined>;

let index: Promise<Record<string, Entry>> | null = null;
let entries: Record<string, Entry> = {};

function folder(): string | null {
  const mark = globalThis.document?.querySelector('meta[name="glassnet-export"]');
  return mark?.getAttribute("content") ?? null;
}

/** Whether this page is an export, without a model. */
export function isExport(): boolean {
  return folder() !== null;
}

/** The name of a request in the index: sorted, without `wait`, not encoded. */
export function keyOf(method: string, path: string, params: Params): string {
  const query = Object.keys(params)
    .filter((name) => name !== "wait" && params[name] != null)
    .sort()
    .map((name) => `${name}=${params[name]}`)
    .join("&");
  return `${method} ${decodeURI(path)}${query ? `?${query}` : ""}`;
}

/** Where a picture of the export lies; an address that answers 404 where it is not part of it. */
export function exportedUrl(method: string, path: string, params: Params): string {
  const entry = entries[keyOf(method, path, params)];
  return `${folder()}${entry ? encodeURI(entry.file) : "missing"}`;
}

/** Whether a request can be answered: always by a server, by an export where it is part of it. */
export function isIncluded(path: string, params: Params = {}): boolean {
  return !isExport() || keyOf("GET", path, params) in entries;
}

/** The layers of which there is an answer below a path: all of them on a server, in an export those that it was made for. */
export function layersIn<T extends { name: string }>(path: string, layers: T[]): T[] {
  if (!isExport()) return layers;
  const start = `GET ${decodeURI(path)}`;
  const keys = Object.keys(entries).filter((key) => key.startsWith(start)).map((key) => `${key.replace("?", "&")}&`);
  const there = layers.filter(({ name }) => keys.some((key) => key.includes(`&layer=${name}&`)));
  return there.length ? there : layers;
}

/** Of some values of a list in a request, as layers or methods of maps, those of which there is an answer below a path. */
export function offeredIn(path: string, parameter: string, values: string[]): string[] {
  if (!isExport()) return values;
  const start = `GET ${decodeURI(path)}?`;
  const there = new Set(
    Object.keys(entries)
      .filter((key) => key.startsWith(start))
      .flatMap((key) => key.slice(start.length).split("&").filter((piece) => piece.startsWith(`${parameter}=`)))
      .flatMap((piece) => piece.slice(parameter.length + 1).split(",")),
  );
  const offered = values.filter((value) => there.has(value));
  return offered.length ? offered : values;
}

export async function fetchExported(method: string, path: string, params: Params, signal?: AbortSignal): Promise<Response> {
  index ??= readIndex();
  entries = await index;
  const entry = entries[keyOf(method, path, params)];
  if (!entry)
    throw new ApiError(
      `${wordsFor(path)} is not part of this export: it needs the model. Run glassnet explore on the run itself.`,
      404,
    );
  const response = await fetch(`${folder()}${encodeURI(entry.file)}`, { signal });
  if (!response.ok) throw new ApiError(`The file ${entry.file} of this export is missing: export it again.`, 404);
  const headers = new Headers({ "Content-Type": entry.type });
  if (entry.arrays) headers.set("X-Arrays", JSON.stringify(entry.arrays));
  if (entry.meta != null) headers.set("X-Meta", asciiJson(entry.meta));
  return new Response(await response.arrayBuffer(), { status: 200, headers });
}

async function readIndex(): Promise<Record<string, Entry>> {
  const response = await fetch(`${folder()}index.json`);
  if (!response.ok) throw new ApiError("The export has no data/index.json: export it again.", 404);
  return (await response.json()) as Record<string, Entry>;
}

function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\u0080-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const WORDS: Record<string, string> = {
  maps: "This map",
  channels: "The channels of this image",
  "layer-channels": "What the channels of this layer have learned",
  neighbours: "The list of its neighbours",
  embedding: "This embedding",
  activation: "The activation of this channel",
  place: "Placing an image of your own",
  read: "Reading an image of your own",
  decode: "Decoding",
  compare: "This comparison",
  cka: "This comparison",
};

function wordsFor(path: string): string {
  const words = path.split("/").map((piece) => WORDS[piece]);
  return words.find((word) => word !== undefined) ?? "This";
}
