/** The one state of all views: what is shown, which image is looked at, which are selected and filtered. */
import { ApiError, compute, floats, ints, isAbort, json, prefetch, type Params } from "../api/client";
import type { Atlas, ColumnsMeta, Job, Names, Session, SubjectInfo, SubjectSummary, ViewName } from "../api/types";
import { readAddress, writeAddress, type Place } from "./address";
import { NO_FILTERS, passing, type Filters } from "./filters";
import { settled, settleNow } from "./first";
import { lookupOf, type Lookup } from "./lookup";
import { theme, type Theme } from "./theme.svelte";

export type { Filters } from "./filters";
export { NO_FILTERS } from "./filters";

export type Columns = {
  label: Int32Array;
  predicted: Int32Array;
  confidence: Float32Array;
  loss: Float32Array;
  quality: Float32Array;
  meta: ColumnsMeta;
};

const NONE = new Int32Array(0);
/** Changes of one thing within this time are one step of the back button (ms). */
const ONE_STEP = 1200;
/** What waits for the first picture waits so long at most (ms). */
const LONGEST_FIRST = 5000;

class App {
  session = $state.raw<Session | null>(null);
  subject = $state<string | null>(null);
  info = $state.raw<SubjectInfo | null>(null);
  part = $state<"train" | "test">("test");
  /** Numbers of the part's images, in its order. */
  numbers = $state.raw<Int32Array>(NONE);
  /** Labels by place, at once; -1 where there is none. */
  labels = $state.raw<Int32Array>(NONE);
  columns = $state.raw<Columns | null>(null);
  columnsJob = $state.raw<Job | null>(null);
  names = $state.raw<string[] | null>(null);
  atlas = $state.raw<Atlas | null>(null);
  view = $state<ViewName | null>(null);
  focus = $state<number | null>(null);
  selection = $state.raw<Set<number>>(new Set());
  filters = $state.raw<Filters>(NO_FILTERS);
  params = $state.raw<Record<string, string>>({});
  /** What keeps the subject from being shown. */
  problem = $state.raw<Error | null>(null);
  /** What keeps only the columns from being shown. */
  columnsProblem = $state.raw<Error | null>(null);

  /** Counts reloads: what was remembered before one is of no use. */
  generation = 0;

  private lookup = $derived.by<Lookup>(() => lookupOf(this.numbers));
  visible = $derived.by(() =>
    passing(this.filters, {
      numbers: this.numbers,
      label: this.columns?.label ?? (this.labels.length ? this.labels : null),
      predicted: this.columns?.predicted ?? null,
      confidence: this.columns?.confidence ?? null,
      names: this.names,
      classNames: this.info?.classes ?? [],
    }),
  );
  visibleCount = $derived.by(() => this.visible.reduce((sum, one) => sum + one, 0));
  summary = $derived.by<SubjectSummary | null>(() => this.session?.subjects.find((one) => one.id === this.subject) ?? null);

  private loading: AbortController | null = null;
  private remembered: Record<string, Record<string, string>> = {};
  private lastChange = { what: "", at: 0 };
  /** The address that the state was read from or written to; none at first. */
  private current: string | null = null;

  get theme(): Theme {
    return theme.value;
  }
  set theme(value: Theme) {
    theme.set(value);
  }

  placeOf(number: number): number {
    return this.lookup(number);
  }

  /** Whether the image at a place is predicted wrongly; of several labels an image that cannot be told by one of them. */
  isWrong(place: number): boolean {
    const [label, predicted] = [this.columns?.label[place] ?? -1, this.columns?.predicted[place] ?? -1];
    return this.info?.label_of === "image" && label >= 0 && predicted >= 0 && label !== predicted;
  }

  /** Path of a route of the current subject. */
  path(route: string): string {
    return `/subjects/${encodeURIComponent(this.subject ?? "")}/${route}`;
  }

  param(key: string): string | null;
  param(key: string, fallback: string): string;
  param(key: string, fallback: string | null = null): string | null {
    return this.params[key] ?? fallback;
  }

  setParam(key: string, value: string | number | null): void {
    const { [key]: _, ...rest } = this.params;
    this.params = value === null ? rest : { ...rest, [key]: String(value) };
    this.write(key);
  }

  go(view: ViewName, params: Record<string, string> = {}): void {
    this.keep();
    this.view = view;
    this.params = { ...this.remembered[view], ...params };
    this.write("");
  }

  open(subject: string, view: ViewName | null = null): void {
    if (subject === this.subject && !this.problem && (!view || view === this.view)) return;
    this.keep();
    const views = this.session?.subjects.find((one) => one.id === subject)?.views ?? [];
    const wanted = view ?? this.view;
    this.remembered = {};
    this.apply({
      subject,
      view: wanted && views.includes(wanted) ? wanted : (views[0] ?? null),
      part: "test",
      focus: null,
      selection: [],
      filters: NO_FILTERS,
      params: {},
    });
    this.write("");
  }

  look(number: number | null): void {
    this.focus = number;
    this.write("image");
  }

  select(numbers: Iterable<number>): void {
    this.selection = new Set(numbers);
    this.write("selected");
  }

  filter(change: Partial<Filters>): void {
    this.filters = { ...this.filters, ...change };
    this.write("filters");
  }

  setPart(part: "train" | "test"): void {
    if (part === this.part) return;
    this.apply({ ...this.place(), part, focus: null, selection: [] });
    this.write("");
  }

  /** Read the address, and follow it from now on. */
  async start(): Promise<void> {
    theme.start();
    window.addEventListener("hashchange", () => this.follow());
    window.addEventListener("popstate", () => this.follow());
    try {
      setTimeout(settleNow, LONGEST_FIRST);
      prefetch("/session");
      const { subject, view, part } = readAddress(location.hash);
      if (subject) prefetchSubject(subject, view, part);
      this.session = await json<Session>("/session");
      this.follow();
    } catch (error) {
      this.problem = error as Error;
    }
  }

  /** Load all again, as after a problem; the server opens what has changed on disk anew. */
  async reload(): Promise<void> {
    this.problem = null;
    this.generation++;
    try {
      this.session = await json<Session>("/session");
    } catch (error) {
      this.problem = error as Error;
      return;
    }
    await this.load();
  }

  private keep(): void {
    if (this.view) this.remembered[this.view] = this.params;
  }

  private place(): Place {
    const { subject, view, part, focus, filters, params } = this;
    return { subject, view, part, focus, selection: [...this.selection], filters, params };
  }

  private follow(): void {
    if (!this.session || location.hash === this.current) return;
    this.current = location.hash;
    const place = readAddress(location.hash);
    const subjects = this.session?.subjects ?? [];
    const known = subjects.find((one) => one.id === place.subject);
    if (place.subject && !known) {
      this.loading?.abort();
      Object.assign(this, { subject: null, view: null, info: null });
      this.problem = new ApiError(`Nothing here is called "${place.subject}": choose one from the list.`, 404);
      return;
    }
    const subject = known ?? subjects[0];
    const view = subject?.views.find((one) => one === place.view) ?? subject?.views[0] ?? null;
    this.apply({ ...place, subject: subject?.id ?? null, view });
    if (place.subject !== this.subject || place.view !== this.view) this.write("", true);
  }

  private apply(place: Place): void {
    const other = place.subject !== this.subject;
    const otherPart = other || place.part !== this.part;
    this.subject = place.subject;
    this.view = place.view as ViewName | null;
    this.part = place.part;
    this.focus = place.focus;
    this.selection = new Set(place.selection);
    this.filters = place.filters;
    this.params = place.params;
    if (otherPart || !this.info) void this.load();
  }

  private write(what: string, replace = false): void {
    const hash = writeAddress(this.place());
    if (hash === location.hash) return;
    const now = performance.now();
    const same = what !== "" && what === this.lastChange.what && now - this.lastChange.at < ONE_STEP;
    this.lastChange = { what, at: now };
    this.current = hash;
    history[replace || same ? "replaceState" : "pushState"](null, "", hash);
  }

  private async load(): Promise<void> {
    this.loading?.abort();
    const { signal } = (this.loading = new AbortController());
    Object.assign(this, { info: null, numbers: NONE, labels: NONE, columns: null, names: null, atlas: null });
    Object.assign(this, { problem: null, columnsProblem: null, columnsJob: null });
    if (!this.subject) return;
    if (this.view !== "embedding") settleNow();
    if (this.summary?.kind === "unfinished") {
      this.info = unfinished(this.summary); // Nothing but its training is there yet.
      return;
    }
    try {
      prefetchSubject(this.subject, this.view, this.part);
      const info = await json<SubjectInfo>(this.path("").replace(/\/$/, ""), {}, { signal });
      if (signal.aborted) return;
      if (info.parts.length) await this.loadImages(info, signal);
      else this.info = info;
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) this.problem = error as Error;
    }
  }

  private async loadImages(info: SubjectInfo, signal: AbortSignal): Promise<void> {
    if (!info.parts.some((one) => one.name === this.part)) this.part = info.parts[0].name;
    const part: Params = { part: this.part };
    void this.loadAtlas(part, signal);
    const labels = await compute<null>(this.path("labels"), part, { signal });
    if (signal.aborted) return;
    this.numbers = ints(labels.arrays, "numbers");
    this.labels = ints(labels.arrays, "label");
    this.info = info;
    await settled;
    if (signal.aborted) return;
    void this.loadColumns(part, signal);
    void this.loadNames(part, signal);
  }

  /** The digest of many images takes a moment: the first picture does not wait for their thumbnails. */
  private async loadAtlas(part: Params, signal: AbortSignal): Promise<void> {
    try {
      const atlas = await json<Atlas>(this.path("atlas"), part, { signal });
      if (!signal.aborted) this.atlas = atlas;
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) this.problem = error as Error;
    }
  }

  private async loadColumns(part: Params, signal: AbortSignal): Promise<void> {
    try {
      const onJob = (job: Job) => (this.columnsJob = job);
      const { arrays, meta } = await compute<ColumnsMeta>(this.path("columns"), part, { signal, onJob });
      if (signal.aborted) return;
      this.columns = {
        label: ints(arrays, "label"),
        predicted: ints(arrays, "predicted"),
        confidence: floats(arrays, "confidence"),
        loss: floats(arrays, "loss"),
        quality: floats(arrays, "quality"),
        meta,
      };
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) this.columnsProblem = error as Error;
    } finally {
      if (!signal.aborted) this.columnsJob = null;
    }
  }

  private async loadNames(part: Params, signal: AbortSignal): Promise<void> {
    try {
      const { names } = await json<Names>(this.path("names"), part, { signal });
      if (!signal.aborted) this.names = names.some((name) => name) ? names : null;
    } catch {
      // Without names the images are searched by number alone.
    }
  }
}

export const app = new App();

/** Ask for all that a subject's first picture needs, at once. */
function prefetchSubject(subject: string, view: string | null, part: string): void {
  const base = `/subjects/${encodeURIComponent(subject)}`;
  prefetch(base);
  prefetch(`${base}/labels`, { part }, { computed: true });
  prefetch(`${base}/atlas`, { part });
  if (view === "embedding" || view === null) prefetch(`${base}/embeddings`, { part });
}

/** Path of a route of the current subject, for `json`, `compute` and `url`. */
export function subjectPath(route: string): string {
  return app.path(route);
}

/** What is known of a run that is still being trained. */
function unfinished({ id, name, kind, task, model, data, views }: SubjectSummary): SubjectInfo {
  const nothing = { classes: [], parts: [], layers: [], map_layers: [], methods: [], default_methods: [], reductions: [], targets: [], measures: [] };
  return { id, name, kind, task, model, data, views, image_shape: [], labelled: false, label_of: "none", default_layer: null, note: "", ...nothing };
}
