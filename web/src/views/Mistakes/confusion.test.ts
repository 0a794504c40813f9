import { describe, expect, it } from "vitest";
import { confidentMistakes, confusion, imagesOf, matrixCsv, pairs, worstClasses } from "./confusion";

const label = [0, 0, 0, 1, 1, 2, -1, 2];
const predicted = [0, 1, 1, 1, 0, 0, 1, -1];
const columns = {
  numbers: [10, 11, 12, 13, 14, 15, 16, 17],
  label,
  predicted,
  confidence: [0.9, 0.6, 0.8, 0.99, NaN, 0.7, 0.5, 0.5],
};

describe("confusion", () => {
  const table = confusion(label, predicted, 3);

  it("counts by true class and prediction, without images that lack either", () => {
    expect([...table.counts]).toEqual([1, 2, 0, 1, 1, 0, 1, 0, 0]);
    expect([table.total, table.wrong]).toEqual([6, 4]);
    expect([...table.rows]).toEqual([3, 2, 1]);
    expect([...table.columns]).toEqual([3, 3, 0]);
  });

  it("lists the pairs that are mixed up, the most frequent first, then the larger share", () => {
    const order = pairs(table).map((pair) => [pair.truth, pair.answer, pair.count, pair.share]);
    expect(order).toEqual([[0, 1, 2, 2 / 3], [2, 0, 1, 1], [1, 0, 1, 1 / 2]]);
  });

  it("picks the classes with the most mistakes, in their own order", () => {
    expect(worstClasses(table, 2)).toEqual([0, 1]);
    expect(worstClasses(table, 5)).toEqual([0, 1, 2]);
    // Class 0 is large and always read rightly: it has no mistakes.
    expect(worstClasses(confusion([0, 0, 0, 0, 0, 0, 1, 2], [0, 0, 0, 0, 0, 0, 2, 1], 3), 2)).toEqual([1, 2]);
  });

  it("is written as CSV, with names quoted where they need it", () => {
    expect(matrixCsv(table, ["a,b", 'c"', "d"]).split("\n").slice(0, 2)).toEqual([
      'true \\ predicted,"a,b","c""",d',
      '"a,b",1,2,0',
    ]);
  });
});

describe("images of a cell", () => {
  it("have that class and that prediction, the most confident first", () => {
    expect(imagesOf(columns, 0, 1)).toEqual([12, 11]);
    expect(imagesOf(columns, 2, 2)).toEqual([]);
  });
});

describe("confidentMistakes", () => {
  it("are wrong, the most confident first, those of unknown confidence last", () => {
    expect(confidentMistakes(columns)).toEqual([2, 5, 1, 4]);
  });
});
