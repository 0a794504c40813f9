/** Trainings side by side: their curves by what they measure, and how their settings differ. */

import type { Training } from "../../api/types";

export interface Run {
  id: string;
  name: string;
  training: Training;
}

/** A line of a panel. */
export interface Line {
  run: string;
  name: string;
  part: "train" | "validation" | "";
  /** What calling every pixel background comes to: it needs no network. */
  baseline: boolean;
  points: [number, number | null][];
}

/** All curves of one quantity. */
export interface Panel {
  key: string;
  title: string;
  unit: string;
  lines: Line[];
}

const PARTS = ["train", "validation"] as const;
const UNITS: [RegExp, string][] = [
  [/seconds$/, "seconds"],
  [/accuracy$|iou$|ssim$|dice$/, "share, 0 to 1"],
  [/psnr$/, "dB"],
  [/rate$/, "step size"],
];

/** "validation_accuracy" is the accuracy, of the validation images; "validation_background_accuracy" its baseline. */
export function quantityOf(key: string): Pick<Line, "part" | "baseline"> & { key: string } {
  const part = PARTS.find((name) => key.startsWith(`${name}_`)) ?? "";
  const rest = part ? key.slice(part.length + 1) : key;
  const baseline = rest.startsWith("background_");
  return { key: baseline ? rest.slice("background_".length) : rest, part, baseline };
}

const TITLES: Record<string, string> = {
  seconds: "Time of an epoch",
  loss_error: "Standard error of the loss",
};

function titleOf(key: string): string {
  if (key in TITLES) return TITLES[key];
  const words = key.replaceAll("_", " ").replace(/\biou\b/, "IoU").replace(/\bpsnr\b/, "PSNR").replace(/\bssim\b/, "SSIM");
  return words[0].toUpperCase() + words.slice(1);
}

function unitOf(key: string): string {
  return UNITS.find(([pattern]) => pattern.test(key))?.[1] ?? "";
}

/** The panels of some runs: losses first, then what is measured, then rates and times; each in the order it came. */
export function panelsOf(runs: Run[]): Panel[] {
  const panels = new Map<string, Panel>();
  for (const { id, name, training } of runs) {
    for (const curve of training.curves) {
      const { key, part, baseline } = quantityOf(curve.key);
      if (curve.values.every((value) => value === null)) continue;
      if (!panels.has(key)) panels.set(key, { key, title: titleOf(key), unit: unitOf(key), lines: [] });
      const points = training.epochs.map((epoch, place): [number, number | null] => [epoch, curve.values[place] ?? null]);
      panels.get(key)!.lines.push({ run: id, name, part, baseline, points });
    }
  }
  const rank = ({ key }: Panel) => (key === "loss" ? 0 : /error$/.test(key) ? 3 : /seconds$/.test(key) ? 5 : /rate$/.test(key) ? 4 : /loss/.test(key) ? 2 : 1);
  return [...panels.values()].sort((first, second) => rank(first) - rank(second));
}

/** Whether a panel means something by logarithm: what goes towards 0 does, a share that goes towards 1 does not. */
export function logPanel(panel: Panel): boolean {
  return !/accuracy$|iou$|ssim$|dice$|psnr$/.test(panel.key);
}

export interface SettingRow {
  name: string;
  /** One of each run; null where a run has no such setting. */
  values: (string | null)[];
  differs: boolean;
}

/** Where a run lies and what it is called differ always, and mean nothing. */
const NAMES_OF_RUNS = new Set(["out", "resume"]);

/** The settings of some runs, a row each, in the order of the first that has them. */
export function settingRows(settings: [string, string][][]): SettingRow[] {
  const names = [...new Set(settings.flatMap((rows) => rows.map(([name]) => name)))];
  const maps = settings.map((rows) => new Map(rows));
  return names.map((name) => {
    const values = maps.map((map) => map.get(name) ?? null);
    return { name, values, differs: !NAMES_OF_RUNS.has(name) && new Set(values).size > 1 };
  });
}

const SETTINGS: Record<string, string> = {
  data: "Data set",
  image_size: "Image size",
  weights: "First weights",
  backbone_rate: "Learning rate of the backbone, as a share",
  layer_decay: "Learning rate from stage to stage, as a factor",
  freeze: "Frozen layers",
  noise: "Noise of the input",
  beta: "Weight of the KL term",
  kl_warmup: "Warm-up of the KL weight",
  binarize: "Pixels drawn as 0 or 1",
  weight_averaging: "Weight averaging, decay per step",
  augment: "Augmentation",
  plain_epochs: "Fraction of epochs without augmentation",
  low_res_epochs: "Fraction of epochs on smaller images",
  low_res_size: "Size of the smaller images",
  copy_paste: "Copy-paste, share of the images",
  validation: "Fraction of validation images",
  skip_damaged: "Damaged images skipped",
  class_weights: "Rare classes weighted",
  data_root: "Folder of the data sets",
  log: "Logged to",
  out: "Folder of the run",
};

/** A setting in words; its option of the command is in the tooltip. */
export function settingTitle(name: string): string {
  return SETTINGS[name] ?? `${name[0].toUpperCase()}${name.slice(1).replaceAll("_", " ")}`;
}

/** The option of `glassnet train`. */
export function settingOption(name: string): string {
  return `--${name.replaceAll("_", "-")}`;
}

export interface MetricRow {
  name: string;
  values: (string | null)[];
  notes: string[];
}

/** The final numbers of some runs, a row each. */
export function metricRows(metrics: [string, string, string][][]): MetricRow[] {
  const names = [...new Set(metrics.flatMap((rows) => rows.map(([name]) => name)))];
  return names.map((name) => {
    const ofRuns = metrics.map((rows) => rows.find(([key]) => key === name));
    return { name, values: ofRuns.map((row) => row?.[1] ?? null), notes: ofRuns.map((row) => row?.[2] ?? "") };
  });
}

/** How a training stands, as a sentence; `since` seconds have gone by since the server answered. */
export function stateWords(training: Training, since: number, span: (seconds: number) => string): string {
  const done = training.epochs.length ? training.epochs.at(-1)! : 0;
  const of = training.total_epochs ? ` of ${training.total_epochs}` : "";
  const heard = training.heard === null || training.heard === undefined ? "" : `, last heard ${span(training.heard + since)} ago`;
  switch (training.state) {
    case "running":
      return done ? `Training: epoch ${done}${of} is done${heard}.` : `Training: no epoch${of ? of : ""} is done yet${heard}.`;
    case "stopped":
      return `Stopped after epoch ${done}${of}: its process is gone${heard}. Continue with glassnet train --resume.`;
    case "finished":
      return `Finished after ${done} ${done === 1 ? "epoch" : "epochs"}${training.seconds ? ` in ${span(training.seconds)}` : ""}.`;
    case "none":
      return "There is no training to show: this network was given without a run.";
  }
}
