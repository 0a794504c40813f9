/** The channels of a layer as the server gives them: numbers of each, in what order they are shown, and as a table. */
import { floats, ints, type Computed, type NdArray } from "../../api/client";
import type { LayerChannelsMeta } from "../../api/types";
import { csvOf } from "../../parts/download";

export const ORDERS = {
  selective: "the most selective first",
  needed: "the most needed first",
  active: "active in the most images first",
  number: "by number",
} as const;
export type Order = keyof typeof ORDERS;

export interface Layer {
  meta: LayerChannelsMeta;
  /** Images that activate each channel most, the strongest first: `top` a channel. */
  numbers: Int32Array;
  activations: Float32Array;
  /** Left, top, right, bottom in pixels of what the channel sees where it is highest; null where that is not known. */
  boxes: Int32Array | null;
  top: number;
  active: Float32Array;
  /** Channels as the server orders them: the most selective first, else the strongest; dead ones last. */
  order: Int32Array;
  classes: number;
  selectivity: Float32Array | null;
  preferred: Int32Array | null;
  classMeans: Float32Array | null;
  auroc: Float32Array | null;
  iou: Float32Array | null;
  lost: Float32Array | null;
  lostLow: Float32Array | null;
  lostHigh: Float32Array | null;
  lostLast: Float32Array | null;
  pictures: NdArray | null;
  /** The channel of each picture. */
  pictured: Int32Array;
  /** How many times as much as the best image each picture activates its channel. */
  multiple: Float32Array | null;
}

export function layerOf({ arrays, meta }: Computed<LayerChannelsMeta>): Layer {
  const real = (name: string) => (arrays[name] ? floats(arrays, name) : null);
  const whole = (name: string) => (arrays[name] ? ints(arrays, name) : null);
  return {
    meta,
    numbers: ints(arrays, "numbers"),
    activations: floats(arrays, "activations"),
    boxes: whole("boxes"),
    top: arrays.numbers.shape[1],
    active: floats(arrays, "active"),
    order: ints(arrays, "order"),
    classes: arrays.class_means?.shape[1] ?? arrays.iou?.shape[1] ?? 0,
    selectivity: real("selectivity"),
    preferred: whole("preferred"),
    classMeans: real("class_means"),
    auroc: real("auroc"),
    iou: real("iou"),
    lost: real("lost"),
    lostLow: real("lost_low"),
    lostHigh: real("lost_high"),
    lostLast: real("lost_last"),
    pictures: arrays.pictures ?? null,
    pictured: whole("pictured") ?? new Int32Array(0),
    multiple: real("multiple"),
  };
}

/** The orders that a layer can be shown in. */
export function ordersOf(layer: Layer): Order[] {
  const has: Record<Order, boolean> = { selective: layer.selectivity !== null, needed: layer.lost !== null, active: true, number: true };
  return (Object.keys(ORDERS) as Order[]).filter((one) => has[one]);
}

/** Channels in an order; those of which a number is not known come last, equal ones by number. */
export function ordered(layer: Layer, order: Order): number[] {
  const all = Array.from(layer.order);
  if (order === "selective") return all;
  const numbers = all.slice().sort((a, b) => a - b);
  if (order === "number") return numbers;
  const keys = order === "active" ? [layer.active] : [layer.lost, layer.lostLast];
  const value = (key: Float32Array | null, channel: number) => (key && Number.isFinite(key[channel]) ? key[channel] : -Infinity);
  return numbers.sort((a, b) => {
    for (const key of keys) {
      const [first, second] = [value(key, a), value(key, b)];
      if (first !== second) return second > first ? 1 : -1;
    }
    return a - b;
  });
}

/** The strongest images of a channel. */
export function imagesOf(layer: Layer, channel: number): number[] {
  return Array.from(layer.numbers.subarray(channel * layer.top, (channel + 1) * layer.top));
}

/** What a channel sees of an image where it is highest; null where that is not known. */
export function boxOf(layer: Layer, channel: number, place: number): number[] | null {
  const at = 4 * (channel * layer.top + place);
  return layer.boxes ? Array.from(layer.boxes.subarray(at, at + 4)) : null;
}

/** A channel's numbers of all classes. */
export function ofClasses(values: Float32Array | null, layer: Layer, channel: number): Float32Array | null {
  return values ? values.subarray(channel * layer.classes, (channel + 1) * layer.classes) : null;
}

/** The class of the highest number, and the number; null where none is known. */
export function best(values: Float32Array | null): [number, number] | null {
  if (!values) return null;
  let at = -1;
  values.forEach((value, k) => {
    if (Number.isFinite(value) && (at < 0 || value > values[at])) at = k;
  });
  return at < 0 ? null : [at, values[at]];
}

/** The class that a channel prefers; null where there is none. */
export function preferredOf(layer: Layer, channel: number): number | null {
  const known = layer.preferred?.[channel] ?? -1;
  return known < 0 ? null : known;
}

export function channelsCsv(layer: Layer, names: string[]): string {
  const name = (one: [number, number] | null) => (one ? (names[one[0]] ?? one[0]) : null);
  const value = (values: Float32Array | null, channel: number) => (values && Number.isFinite(values[channel]) ? values[channel] : null);
  const heads = ["layer", "channel", "active", "selectivity", "selective for", "AUROC", "detects", "IoU", "shows", `${layer.meta.lost || "score"} lost`, "lost from", "lost to", "strongest images"];
  const rows = ordered(layer, "number").map((channel) => {
    const [auroc, iou] = [layer.auroc, layer.iou].map((values) => best(ofClasses(values, layer, channel)));
    const preferred = preferredOf(layer, channel);
    return [
      ...[layer.meta.measured, channel, layer.active[channel]],
      ...[value(layer.selectivity, channel), preferred === null ? null : (names[preferred] ?? preferred)],
      ...[auroc?.[1] ?? null, name(auroc), iou?.[1] ?? null, name(iou)],
      ...[value(layer.lost, channel), value(layer.lostLow, channel), value(layer.lostHigh, channel)],
      imagesOf(layer, channel).join(" "),
    ];
  });
  return csvOf(heads, rows);
}
