/** What is taken for what: counts by true class and prediction. */

import { csvOf } from "../../parts/download";

export interface Columns {
  numbers: ArrayLike<number>;
  label: ArrayLike<number>;
  predicted: ArrayLike<number>;
  confidence: ArrayLike<number>;
}

export interface Confusion {
  classes: number;
  /** Row by row: counts[label * classes + predicted]. */
  counts: Int32Array;
  /** Images of each true class. */
  rows: Int32Array;
  /** Images predicted as each class. */
  columns: Int32Array;
  total: number;
  wrong: number;
}

/** Counts images by true class and prediction; those without either are left out. */
export function confusion(label: ArrayLike<number>, predicted: ArrayLike<number>, classes: number): Confusion {
  const [counts, rows, columns] = [new Int32Array(classes * classes), new Int32Array(classes), new Int32Array(classes)];
  let [total, wrong] = [0, 0];
  for (let k = 0; k < label.length; k++) {
    const [truth, answer] = [label[k], predicted[k]];
    if (truth < 0 || answer < 0 || truth >= classes || answer >= classes) continue;
    counts[truth * classes + answer]++;
    rows[truth]++;
    columns[answer]++;
    total++;
    if (truth !== answer) wrong++;
  }
  return { classes, counts, rows, columns, total, wrong };
}

export interface Pair {
  truth: number;
  answer: number;
  count: number;
  /** Of the images of the true class. */
  share: number;
}

/** The pairs of classes that are mixed up, the most frequent first. */
export function pairs(table: Confusion): Pair[] {
  const result: Pair[] = [];
  for (let truth = 0; truth < table.classes; truth++)
    for (let answer = 0; answer < table.classes; answer++) {
      const count = table.counts[truth * table.classes + answer];
      if (truth !== answer && count) result.push({ truth, answer, count, share: count / table.rows[truth] });
    }
  return result.sort((a, b) => b.count - a.count || b.share - a.share || a.truth - b.truth || a.answer - b.answer);
}

/** The classes with the most mistakes to and from them, at most `limit`, in the order of the classes. */
export function worstClasses(table: Confusion, limit: number): number[] {
  const mistakes = (k: number) => table.rows[k] + table.columns[k] - 2 * table.counts[k * table.classes + k];
  const all = Array.from({ length: table.classes }, (_, k) => k);
  if (all.length <= limit) return all;
  const sorted = all.sort((a, b) => mistakes(b) - mistakes(a) || a - b);
  return sorted.slice(0, limit).sort((a, b) => a - b);
}

/** Numbers of the images of one cell, the most confident first. */
export function imagesOf(columns: Columns, truth: number, answer: number): number[] {
  const places: number[] = [];
  for (let k = 0; k < columns.label.length; k++)
    if (columns.label[k] === truth && columns.predicted[k] === answer) places.push(k);
  return byConfidence(columns, places).map((place) => columns.numbers[place]);
}

/** Places of the wrong predictions, the most confident first. */
export function confidentMistakes(columns: Columns): number[] {
  const places: number[] = [];
  for (let k = 0; k < columns.label.length; k++) {
    const [truth, answer] = [columns.label[k], columns.predicted[k]];
    if (truth >= 0 && answer >= 0 && truth !== answer) places.push(k);
  }
  return byConfidence(columns, places);
}

function byConfidence(columns: Columns, places: number[]): number[] {
  const confidence = (place: number) => (Number.isNaN(columns.confidence[place]) ? -1 : columns.confidence[place]);
  return places.sort((a, b) => confidence(b) - confidence(a) || a - b);
}

/** The matrix as CSV: true classes down, predictions across. */
export function matrixCsv(table: Confusion, names: string[]): string {
  const all = Array.from({ length: table.classes }, (_, k) => k);
  const name = (k: number) => names[k] ?? String(k);
  const counts = (truth: number) => all.map((answer) => table.counts[truth * table.classes + answer]);
  return csvOf(["true \\ predicted", ...all.map(name)], all.map((truth) => [name(truth), ...counts(truth)]));
}
