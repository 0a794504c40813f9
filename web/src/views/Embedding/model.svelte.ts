/** What the embedding view shows: the settings of the address, the embedding, its colours and what is filtered. */
import { compute, floats, isAbort, isExport, json, layersIn } from "../../api/client";
import type { EmbeddingList, EmbeddingOnDisk, Job } from "../../api/types";
import { className } from "../../parts/words";
import { app, subjectPath } from "../../state/app.svelte";
import { settleNow } from "../../state/first";
import { colourAmounts, colourClusters, colourKinds, colourWrong, COLOURINGS, type Coloured, type Colouring } from "./colours";
import { loadEmbedding, unitsOf, type Loaded, type Settings } from "./load";
import { NORMAL, SELECTED, SHADOW } from "./renderer";

/** The first of these that lies on disk is shown first; else the first that is quick. */
const PREFERRED = ["umap", "tsne", "pca"];
export const METHODS: Record<string, string> = { pca: "PCA", tsne: "t-SNE", umap: "UMAP" };

function nameOf({ layer, method, dims }: { layer: string; method: string; dims: number }): string {
  return `${method} ${dims} ${layer}`;
}

export class Model {
  onDisk = $state.raw<EmbeddingOnDisk[] | null>(null);
  loaded = $state.raw<Loaded | null>(null);
  job = $state.raw<Job | null>(null);
  working = $state(false);
  problem = $state.raw<unknown>(null);
  channel = $state.raw<{ layer: string; channel: number; values: Float32Array } | null>(null);
  channelProblem = $state.raw<unknown>(null);
  private seen = $state.raw<Set<string>>(new Set());
  private stopper: AbortController | null = null;

  layers = $derived(app.info ? layersIn(subjectPath("embedding"), app.info.layers) : []);
  settings = $derived.by<Settings | null>(() => {
    if (!app.info || !this.onDisk) return null;
    const dims = app.param("dims") === "3" ? 3 : 2;
    const wanted = app.param("layer");
    const named = (asked: string | null) => this.layers.find(({ name }) => name === asked)?.name;
    const layer = named(wanted) ?? named(app.info.default_layer) ?? this.layers.at(-1)?.name;
    if (!layer) return null;
    const method = this.methodOf(layer, dims);
    const { default_layer: reference } = app.info;
    const align = app.param("align") === "off" || reference === layer ? null : reference;
    return { layer, method, dims, align, ...this.sizeOf(layer, method, dims) };
  });
  /** A text that changes when something else must be asked for. */
  wanted = $derived(this.settings ? JSON.stringify(this.settings) : "");

  colourings = $derived.by<Colouring[]>(() => {
    const has: Record<Colouring, boolean> = {
      label: Boolean(app.info?.labelled && app.info.label_of === "image"),
      predicted: Boolean(app.columns?.predicted.some((one) => one >= 0)),
      wrong: app.columns?.meta.wrong != null && app.info?.label_of === "image",
      confidence: Boolean(app.columns?.confidence.some(Number.isFinite)),
      loss: Boolean(app.columns?.loss.some(Number.isFinite)),
      quality: Boolean(app.columns?.meta.quality),
      cluster: Boolean(this.loaded?.cluster?.length),
      channel: this.layers.some((one) => unitsOf(one) > 0),
    };
    return (Object.keys(COLOURINGS) as Colouring[]).filter((one) => has[one]);
  });
  colouring = $derived.by<Colouring | null>(() => {
    const wanted = app.param("colour") as Colouring | null;
    if (wanted && (this.colourings.includes(wanted) || !app.columns)) return wanted;
    return this.colourings[0] ?? null;
  });
  channelLayer = $derived(app.param("channel_layer") ?? this.settings?.layer ?? "");
  channelNumber = $derived(Math.max(0, Number(app.param("channel") ?? "0") || 0));
  coloured = $derived.by<Coloured | null>(() => (this.loaded ? this.colour(this.loaded) : null));
  clusters = $derived.by<number[]>(() => (app.param("cluster") ?? "").split(",").filter(Boolean).map(Number));

  /** One byte a point: shadow, normal or selected. */
  flags = $derived.by<Uint8Array>(() => {
    const { loaded } = this;
    if (!loaded) return new Uint8Array(0);
    const { selection, visible } = app;
    const clusters = loaded.cluster && this.clusters.length ? new Set(this.clusters) : null;
    const flags = new Uint8Array(loaded.numbers.length);
    for (let k = 0; k < flags.length; k++) {
      const passes = visible[loaded.places[k]] === 1 && (!clusters || clusters.has((loaded.cluster as Int32Array)[k]));
      flags[k] = passes ? NORMAL : SHADOW;
      if (passes && selection.size && selection.has(loaded.numbers[k])) flags[k] = SELECTED;
    }
    return flags;
  });
  /** Whether an embedding needs no computing, as far as is known. */
  isReady = $derived.by<(layer: string) => boolean>(() => {
    const { onDisk, seen, settings } = this;
    if (!settings) return () => false;
    const there = new Set([...seen, ...(onDisk ?? []).map(nameOf)]);
    return (layer) => there.has(nameOf({ ...settings, layer }));
  });
  /** Numbers of the images for the gallery: the selected ones that pass, else all that pass. */
  listed = $derived.by<Int32Array>(() => {
    const { loaded, flags } = this;
    if (!loaded) return new Int32Array(0);
    const least = flags.includes(SELECTED) ? SELECTED : NORMAL;
    return loaded.numbers.filter((_, k) => flags[k] >= least);
  });
  drawnCount = $derived.by(() => this.flags.reduce((sum, one) => sum + (one === SHADOW ? 0 : 1), 0));
  indexOf = $derived.by<(number: number) => number>(() => {
    const table = new Map<number, number>();
    const numbers = this.loaded?.numbers ?? new Int32Array(0);
    for (let k = 0; k < numbers.length; k++) table.set(numbers[k], k);
    return (number) => table.get(number) ?? -1;
  });

  /** Whether an embedding of the layer that is shown can be had: of an export only those that are part of it. */
  offers(method: string, dims: number): boolean {
    return !isExport() || Boolean(this.onDisk?.some((one) => one.layer === this.settings?.layer && one.method === method && one.dims === dims));
  }

  async start(): Promise<void> {
    try {
      this.onDisk = (await json<EmbeddingList>(subjectPath("embeddings"), { part: app.part })).embeddings;
    } catch (error) {
      if (isAbort(error)) return;
      this.onDisk = []; // It only says what is quick; what is wrong with the subject the embedding itself says.
    }
  }

  /** Ask for what the settings say; what was asked for before is no longer wanted. */
  load(settings: Settings): () => void {
    const { signal } = (this.stopper = new AbortController());
    this.working = true;
    this.problem = null;
    this.job = null;
    loadEmbedding(settings, { signal, onJob: (job) => (settleNow(), signal.aborted ? undefined : (this.job = job)) })
      .then((loaded) => {
        if (signal.aborted) return;
        this.loaded = loaded;
        this.seen = new Set([...this.seen, nameOf(settings)]);
      })
      .catch((error) => (settleNow(), signal.aborted || isAbort(error) || (this.problem = error)))
      .finally(() => signal.aborted || ((this.working = false), (this.job = null)));
    const stopper = this.stopper;
    return () => stopper.abort();
  }

  /** Stop waiting, and go on with what is shown. */
  cancel(): void {
    this.stopper?.abort();
    this.working = false;
    this.job = null;
    if (!this.loaded) this.problem = new Error("Cancelled. Choose another layer or method, or the same one again.");
    else for (const key of ["layer", "method", "dims"] as const) app.setParam(key, this.loaded.settings[key]);
  }

  /** Ask for the mean activation of a channel, to colour by it. */
  loadChannel(layer: string, channel: number, images: string | null, seed: string | null): () => void {
    const stopper = new AbortController();
    const { signal } = stopper;
    this.channelProblem = null;
    compute<null>(subjectPath("activation"), { layer, channel, part: app.part, images, seed }, { signal })
      .then(({ arrays }) => {
        if (signal.aborted) return;
        const values = new Float32Array(app.numbers.length).fill(NaN);
        const found = floats(arrays, "values");
        arrays.numbers.data.forEach((number, k) => (values[app.placeOf(number)] = found[k]));
        this.channel = { layer, channel, values };
      })
      .catch((error) => signal.aborted || isAbort(error) || (this.channelProblem = error));
    return () => stopper.abort();
  }

  /** The layer that is so many steps away in the order of the forward pass; null at the ends. */
  layerAway(steps: number): string | null {
    const at = this.layers.findIndex(({ name }) => name === this.settings?.layer);
    return this.layers[at + steps]?.name ?? null;
  }

  private methodOf(layer: string, dims: number): string {
    const wanted = app.param("method");
    const known = app.info?.reductions ?? [];
    if (wanted && known.includes(wanted)) return wanted;
    const there = (method: string) => this.onDisk?.some((one) => one.layer === layer && one.dims === dims && one.method === method);
    return PREFERRED.find((method) => known.includes(method) && there(method)) ?? (known.includes("pca") ? "pca" : (known[0] ?? "pca"));
  }

  /** How many images, and what else is random: as the address says, else as the largest on disk, else as the server has it. */
  private sizeOf(layer: string, method: string, dims: number): Pick<Settings, "images" | "seed" | "perplexity"> {
    const [images, seed, perplexity] = [app.param("images"), app.param("seed"), app.param("perplexity")];
    if (images ?? seed ?? perplexity) return { images, seed, perplexity };
    const there = (this.onDisk ?? []).filter((one) => one.layer === layer && one.method === method && one.dims === dims);
    const largest = there.sort((a, b) => b.images - a.images)[0];
    const text = (value: number | null | undefined) => (value == null ? null : String(value));
    return { images: text(largest?.images), seed: text(largest?.seed), perplexity: text(largest?.perplexity) };
  }

  private colour({ places, cluster }: Loaded): Coloured | null {
    const { columns } = app;
    const at = (values: Float32Array) => Float32Array.from(places, (place) => values[place] ?? NaN);
    const kinds = (values: Int32Array) => places.map((place) => values[place] ?? -1);
    const label = columns?.label ?? app.labels;
    switch (this.colouring) {
      case "predicted":
        return columns && colourKinds(kinds(columns.predicted), (value) => (value < 0 ? "none" : className(value)));
      case "wrong":
        return columns && colourWrong(kinds(columns.label), kinds(columns.predicted));
      case "confidence":
        return columns && colourAmounts(at(columns.confidence), [0, 1]);
      case "loss":
        return columns && colourAmounts(at(columns.loss));
      case "quality":
        return columns && colourAmounts(at(columns.quality));
      case "cluster":
        return cluster && colourClusters(cluster);
      case "channel":
        return this.channel && colourAmounts(at(this.channel.values));
      default:
        return colourKinds(kinds(label), (value) => (value < 0 ? "no label" : className(value)));
    }
  }
}
