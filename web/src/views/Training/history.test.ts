import { describe, expect, it } from "vitest";

import type { Training } from "../../api/types";
import { duration } from "../../parts/chart/scale";
import { metricRows, panelsOf, quantityOf, settingOption, settingRows, settingTitle, stateWords } from "./history";

const training: Training = {
  state: "finished",
  epochs: [1, 2],
  total_epochs: 2,
  saved_epoch: 2,
  curves: [
    { key: "train_seconds", title: "Seconds", values: [1, 2] },
    { key: "train_loss", title: "Loss", values: [0.9, 0.4] },
    { key: "validation_accuracy", title: "Accuracy", values: [0.9, null] },
    { key: "validation_loss", title: "Loss", values: [0.8, 0.5] },
    { key: "train_dice", title: "Dice", values: [null, null] },
  ],
  settings: [],
  metrics: [],
  heard: null,
  seconds: 4.2,
  epoch_note: "",
};

describe("panels", () => {
  it("part and quantity of a curve", () => {
    expect(quantityOf("validation_mean_iou")).toEqual({ key: "mean_iou", part: "validation", baseline: false });
    expect(quantityOf("learning_rate")).toEqual({ key: "learning_rate", part: "", baseline: false });
    expect(quantityOf("validation_background_accuracy")).toEqual({ key: "accuracy", part: "validation", baseline: true });
  });
  it("hold what measures the same, the loss first, seconds last, and nothing empty", () => {
    const panels = panelsOf([{ id: "a", name: "A", training }]);
    expect(panels.map((panel) => panel.title)).toEqual(["Loss", "Accuracy", "Time of an epoch"]);
    expect(panels[0].lines.map((line) => line.part)).toEqual(["train", "validation"]);
    expect(panels[1].lines[0].points).toEqual([[1, 0.9], [2, null]]);
  });
  it("hold the lines of all runs", () => {
    const panels = panelsOf([{ id: "a", name: "A", training }, { id: "b", name: "B", training }]);
    expect(panels[0].lines.map((line) => line.run)).toEqual(["a", "a", "b", "b"]);
  });
});

describe("settings", () => {
  const rows = settingRows([
    [["epochs", "3"], ["seed", "0"], ["out", "runs/a"]],
    [["epochs", "1"], ["seed", "0"], ["out", "runs/b"], ["beta", "1"]],
  ]);
  it("mark what differs, also where one run lacks it", () => {
    expect(rows.map((row) => [row.name, row.differs])).toEqual([
      ["epochs", true], ["seed", false], ["out", false], ["beta", true],
    ]);
    expect(rows[3].values).toEqual([null, "1"]);
  });
  it("stand in words, with their option", () => {
    expect([settingTitle("learning_rate"), settingOption("learning_rate")]).toEqual(["Learning rate", "--learning-rate"]);
    expect(settingTitle("kl_warmup")).toBe("Warm-up of the KL weight");
    expect(settingTitle("epochs")).toBe("Epochs");
  });
  it("of one run do not differ", () => expect(settingRows([[["epochs", "3"]]])[0].differs).toBe(false));
});

it("metrics stand side by side", () => {
  expect(metricRows([[["accuracy", "97.8%", "test"]], [["loss", "0.1", ""]]])).toEqual([
    { name: "accuracy", values: ["97.8%", null], notes: ["test", ""] },
    { name: "loss", values: [null, "0.1"], notes: ["", ""] },
  ]);
});

describe("how a training stands", () => {
  it.each([
    [{}, "Finished after 2 epochs in 4.2 s."],
    [{ state: "running", total_epochs: 12, heard: 2 }, "Training: epoch 2 of 12 is done, last heard 5 s ago."],
    [{ state: "running", epochs: [] }, "Training: no epoch of 2 is done yet."],
    [{ state: "stopped", heard: 57 }, "Stopped after epoch 2 of 2: its process is gone, last heard 1 min ago. Continue with glassnet train --resume."],
  ])("%j", (change, words) => {
    expect(stateWords({ ...training, ...(change as Partial<Training>) }, 3, duration)).toBe(words);
  });
});
