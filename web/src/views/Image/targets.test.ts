import { describe, expect, it } from "vitest";
import type { ImageFacts, MapsMeta, SubjectInfo } from "../../api/types";
import { answer, firstTarget, question, targetOptions, valueOf, verdict } from "./targets";

const info = { classes: ["cat", "dog", "ox"], targets: ["predicted", "label"], labelled: true, label_of: "image" } as SubjectInfo;
const facts = { label: 1, predicted: 0 } as ImageFacts;
const meta = (target_class: number | null, predicted: number | null) =>
  ({ target: "the score of it", target_class, predicted }) as MapsMeta;

describe("targetOptions", () => {
  it("says what the model's answer and the true class are", () => {
    expect(targetOptions(info, facts).map((one) => one.label)).toEqual([
      "the prediction (cat)",
      "the true class (dog)",
      "cat",
      "dog",
      "ox",
    ]);
  });

  it("has what another view asks for", () => {
    const values = targetOptions(info, facts, ["region:3,14", "dog", ""]);
    expect(values.slice(5)).toEqual([{ value: "region:3,14", label: "the region at row 3, column 14" }]);
  });

  it("has no true class where there is none", () => {
    const values = targetOptions(info, { ...facts, label: null }).map((one) => one.value);
    expect(values).toEqual(["predicted", "cat", "dog", "ox"]);
  });

  it("takes the task's own words, and no classes where the model has none", () => {
    const reconstruction = { ...info, targets: ["error", "code"] };
    expect(targetOptions(reconstruction, null).map((one) => one.value)).toEqual(["error", "code"]);
    expect(firstTarget(reconstruction)).toBe("error");
  });
});

describe("valueOf", () => {
  it("is the number where two classes have one name, or a name means something else", () => {
    const classes = ["a", "b", "a", "label"];
    expect([0, 1, 2, 3].map((k) => valueOf(k, classes))).toEqual(["0", "b", "2", "3"]);
  });
});

describe("question", () => {
  it("asks why, and of another class why not", () => {
    expect(question(meta(0, 0), info.classes, false)).toBe("Why cat?");
    expect(question(meta(2, 0), info.classes, true)).toBe("Why not ox?");
    expect(question(meta(2, 0), info.classes, false)).toBe("Why ox?");
    expect(question(meta(null, null), info.classes, true)).toBe("The score of it");
  });

  it("says what orange places mean, with the probability", () => {
    expect(answer(meta(0, 0), info.classes, [0.9, 0.1, 0])).toBe("The model says cat (90%). Orange places support cat.");
    expect(answer(meta(1, 0), info.classes, [0.9, 0.1, 0])).toBe("The model gives dog only 10%. Orange places support dog.");
    expect(answer(meta(1, null), info.classes, [])).toBe("Orange places support dog.");
    expect(answer(meta(1, 0), info.classes, [])).toBe("The model says something else. Orange places support dog.");
    expect(answer(meta(null, null), [], [])).toBe("Orange places raise it.");
  });
});

describe("verdict", () => {
  it("says what is wrong, right, or not known", () => {
    expect(verdict(0, 1, 0.69, info.classes)).toBe("The model says cat (69%), which is wrong: the true class is dog.");
    expect(verdict(1, 1, 0.9, info.classes)).toBe("The model says dog (90%), which is right.");
    expect(verdict(2, null, 0.5, info.classes)).toBe("The model says ox (50%).");
  });
});
