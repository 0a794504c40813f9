/** The maps of an answer, by method and layer. */

import type { NdArray } from "../../api/client";

/** Layer at which a method of the whole network stands. */
export const WHOLE = "input";

export interface MethodMaps {
  method: string;
  /** Layers that have a map, in the order of the network; WHOLE alone for a method of the whole network. */
  layers: string[];
}

/** Sorts "METHOD|LAYER" arrays: methods as asked, layers as in the network. */
export function methodsOf(arrays: Record<string, NdArray>, methods: string[], layers: string[]): MethodMaps[] {
  const present = Object.keys(arrays).filter((key) => key.includes("|"));
  const split = present.map((key) => [key.slice(0, key.indexOf("|")), key.slice(key.indexOf("|") + 1)] as const);
  const place = (layer: string) => (layers.includes(layer) ? layers.indexOf(layer) : layers.length);
  const order = [...new Set([...methods, ...split.map(([method]) => method)])];
  return order
    .map((method) => ({ method, layers: split.filter(([name]) => name === method).map(([, layer]) => layer) }))
    .filter((one) => one.layers.length)
    .map((one) => ({ ...one, layers: one.layers.sort((a, b) => place(a) - place(b)) }));
}

/** The layer whose map stands for the chosen one: itself, or where the method has no such layer, its only one. */
export function layerFor(maps: MethodMaps, chosen: string): string | null {
  if (maps.layers.includes(chosen)) return chosen;
  return maps.layers.length === 1 ? maps.layers[0] : null;
}

/** A layer in a caption; a bare number says that it is one. */
export function layerTitle(layer: string): string {
  return /^\d+$/.test(layer) ? `layer ${layer}` : layer;
}

/** Names that fit under a small picture: without what they all begin with, or their ends. */
export function shortNames(layers: string[], most = 9): string[] {
  if (layers.every((name) => name.length <= most)) return layers;
  const pieces = layers[0].split(".").slice(0, -1);
  while (pieces.length && !layers.every((name) => name.startsWith(`${pieces.join(".")}.`))) pieces.pop();
  const common = pieces.length ? pieces.join(".").length + 1 : 0;
  return layers.map((name) => name.slice(common)).map((name) => (name.length > most ? `…${name.slice(1 - most)}` : name));
}

/** Whether a map has signs and channels, rather than heat. */
export function isSigned(map: NdArray): boolean {
  return map.shape.length === 3;
}

/** Whether nothing in a map differs from zero. */
export function isZero(map: NdArray): boolean {
  return !map.data.some((value) => value !== 0);
}

/** A list in the address, or what stands for it; what is not among the choices is left out. */
export function listed(text: string | null, choices: string[], fallback: string[]): string[] {
  const wanted = (text ?? "").split(",").filter((one) => choices.includes(one));
  return wanted.length ? choices.filter((one) => wanted.includes(one)) : fallback;
}
