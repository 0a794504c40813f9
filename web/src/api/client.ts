/** Requests to the server, or to the files of a static export: JSON, binary arrays, and work that takes a while. */
import { decodeArrays, type NdArray } from "./arrays";
import { sendEarly, takeEarly } from "./early";
import { ApiError } from "./errors";
import { exportedUrl, fetchExported, isExport } from "./exported";
import { leaveJob, PAGE, watchJob } from "./jobs";
import type { ArrayMeta, Job } from "./types";

export { ApiError } from "./errors";
export type { NdArray, Numbers } from "./arrays";
export { floats, ints } from "./arrays";
export { isExport, isIncluded, layersIn, offeredIn } from "./exported";

export type Params = Record<string, string | number | boolean | null | undefined>;
export type Body = Blob | Uint8Array<ArrayBuffer> | ArrayBuffer | Float32Array<ArrayBuffer>;
export type Options = { signal?: AbortSignal; method?: string; body?: Body };
export type ComputeOptions = { signal?: AbortSignal; body?: Body; onJob?: (job: Job) => void };
export type Computed<M> = { arrays: Record<string, NdArray>; meta: M };

/** Seconds that the server may hold a request whose result is not ready. */
const WAIT = 0.5;

/** Address of a route, relative to the page; parameters that are null or undefined are left out. */
export function url(path: string, params: Params = {}): string {
  if (isExport()) return exportedUrl("GET", path, params);
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value != null) query.set(name, String(value));
  const text = query.toString();
  return `api${path.startsWith("/") ? path : `/${path}`}${text ? `?${text}` : ""}`;
}

/** Send a request before its answer is asked for: by `json`, or by `compute` where it may have to be computed. */
export function prefetch(path: string, params: Params = {}, { computed = false } = {}): void {
  if (!isExport()) sendEarly(url(path, computed ? { ...params, wait: WAIT } : params), PAGE);
}

/** Ask for JSON. */
export async function json<T>(path: string, params?: Params, o: Options = {}): Promise<T> {
  const response = await request(path, params, o);
  return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
}

/** Ask for arrays; while the server works on them, `onJob` hears of it. Aborting cancels the work. */
export async function compute<M>(path: string, params?: Params, o: ComputeOptions = {}): Promise<Computed<M>> {
  const response = await repeat(path, params, o);
  const metas = JSON.parse(response.headers.get("X-Arrays") ?? "[]") as ArrayMeta[];
  const meta = JSON.parse(response.headers.get("X-Meta") ?? "null") as M;
  return { arrays: decodeArrays(await response.arrayBuffer(), metas), meta };
}

/** Ask for JSON that may have to be computed first. */
export async function computeJson<T>(path: string, params?: Params, o: ComputeOptions = {}): Promise<T> {
  return (await (await repeat(path, params, o)).json()) as T;
}

async function repeat(path: string, params: Params = {}, o: ComputeOptions): Promise<Response> {
  let job: Job | null = null;
  try {
    for (;;) {
      const asked = isExport() ? params : { ...params, wait: WAIT };
      const response = await request(path, asked, { signal: o.signal, body: o.body });
      if (response.status !== 202) {
        job = leaveJob(job, false);
        return response;
      }
      job = watchJob(job, (await response.json()) as Job);
      o.onJob?.(job);
    }
  } finally {
    leaveJob(job, o.signal?.aborted ?? false);
  }
}

async function request(path: string, params: Params = {}, o: Options): Promise<Response> {
  const method = o.method ?? (o.body ? "POST" : "GET");
  if (isExport()) return fetchExported(method, path, params, o.signal);
  const address = url(path, params);
  const headers = o.body ? { ...PAGE, "Content-Type": "application/octet-stream" } : PAGE;
  let response: Response;
  try {
    const early = method === "GET" ? takeEarly(address) : null;
    response = await (early ?? fetch(address, { method, body: o.body, signal: o.signal, headers }));
  } catch (error) {
    if (o.signal?.aborted) throw error;
    throw new ApiError("The server does not answer. Is glassnet explore still running?", 0);
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const said: unknown = JSON.parse(text).error;
    if (typeof said === "string") return new ApiError(said, response.status);
  } catch {
    // Not JSON: something else than our server answered.
  }
  return new ApiError(`The server answered ${response.status} ${response.statusText}.`, response.status);
}

/** Whether an error only says that its request was no longer wanted. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
