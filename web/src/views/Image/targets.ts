/** What a map can explain: the model's answer, the true class, any class, and the task's own words. */

import type { ImageFacts, MapsMeta, SubjectInfo } from "../../api/types";
import { percent } from "../../parts/percent";

export interface Option {
  value: string;
  label: string;
}

const WORDS: Record<string, string> = {
  predicted: "the prediction",
  label: "the true class",
  error: "the error of the reconstruction",
};

/** The choices, with what they come to for this image where that is known; among them what is asked for now. */
export function targetOptions(info: SubjectInfo, facts: ImageFacts | null, asked: string[] = []): Option[] {
  const words = info.targets.filter((word) => word !== "label" || hasLabel(info, facts));
  const classes = info.targets.includes("predicted") ? info.classes : [];
  const known = [
    ...words.map((word) => ({ value: word, label: word in WORDS ? withClass(word, info, facts) : word })),
    ...classes.map((name, index) => ({ value: valueOf(index, classes), label: name })),
  ];
  const other = asked.filter((value) => value && !known.some((one) => one.value === value));
  return [...known, ...other.map((value) => ({ value, label: otherWords(value, info) }))];
}

/** What another view may ask for: a region of a segmentation by a pixel of it, or a class by its number. */
function otherWords(value: string, info: SubjectInfo): string {
  const pixel = /^region:(\d+),(\d+)$/.exec(value);
  return pixel ? `the region at row ${pixel[1]}, column ${pixel[2]}` : (info.classes[Number(value)] ?? value);
}

/** How a class is asked for: by its name, or by its number where the name says too little. */
export function valueOf(index: number, classes: string[]): string {
  const name = classes[index];
  const clear = name !== undefined && name !== "" && !(name in WORDS) && classes.indexOf(name) === classes.lastIndexOf(name);
  return clear ? name : String(index);
}

/** The first choice of a subject: the first of its task. */
export function firstTarget(info: SubjectInfo): string {
  return info.targets[0] ?? "predicted";
}

function hasLabel(info: SubjectInfo, facts: ImageFacts | null): boolean {
  return info.labelled && (info.label_of === "pixel" || facts?.label != null);
}

function withClass(word: string, info: SubjectInfo, facts: ImageFacts | null): string {
  const index = word === "predicted" ? facts?.predicted : word === "label" ? facts?.label : null;
  const name = index == null ? undefined : info.classes[index];
  return name === undefined ? WORDS[word] : `${WORDS[word]} (${name})`;
}

/** The question that a column of maps answers. */
export function question(meta: MapsMeta, classes: string[], against: boolean): string {
  const index = meta.target_class;
  if (index === null || index === undefined) return sentence(meta.target);
  const name = classes[index] ?? String(index);
  return against && index !== meta.predicted ? `Why not ${name}?` : `Why ${name}?`;
}

/** What the answer to the question looks like, with the class's probability where there is one. */
export function answer(meta: MapsMeta, classes: string[], probabilities: ArrayLike<number>): string {
  const index = meta.target_class;
  if (index === null || index === undefined) return "Orange places raise it.";
  const name = classes[index] ?? String(index);
  const orange = `Orange places support ${name}.`;
  if (meta.predicted === null || meta.predicted === undefined) return orange;
  const share = index < probabilities.length ? percent(probabilities[index]) : "";
  if (index === meta.predicted) return `The model says ${name}${share && ` (${share})`}. ${orange}`;
  return share ? `The model gives ${name} only ${share}. ${orange}` : `The model says something else. ${orange}`;
}

/** What the model says of an image, and whether that is right, where the true class is known. */
export function verdict(predicted: number, label: number | null, confidence: number, classes: string[]): string {
  const name = (index: number) => classes[index] ?? String(index);
  const said = `The model says ${name(predicted)} (${percent(confidence)})`;
  if (label === null) return `${said}.`;
  return label === predicted ? `${said}, which is right.` : `${said}, which is wrong: the true class is ${name(label)}.`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
