import { describe, expect, it } from "vitest";

import { compact, duration, extent, linePath, linearTicks, logTicks, makeScale, niceStep, number } from "./scale";

describe("extent", () => {
  it("leaves out what is no number", () => {
    expect(extent([3, null, NaN, -1, Infinity, undefined])).toEqual([-1, 3]);
    expect(extent([null, NaN])).toBeNull();
  });
  it("leaves out what a logarithm cannot take", () => {
    expect(extent([0, -2, 0.5, 4], true)).toEqual([0.5, 4]);
    expect(extent([0, -2], true)).toBeNull();
  });
});

describe("ticks", () => {
  it("are round", () => {
    expect(niceStep(1, 5)).toBe(0.2);
    expect(linearTicks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(linearTicks(-0.3, 0.3, 6)).toEqual([-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]);
    expect(linearTicks(1, 12, 5)).toEqual([2, 4, 6, 8, 10, 12]);
  });
  it("of an axis without width are its value", () => expect(linearTicks(4, 4)).toEqual([4]));
  it("of a logarithm are 1, 2 and 5 times powers of ten", () => {
    expect(logTicks(0.04, 0.6)).toEqual([0.05, 0.1, 0.2, 0.5]);
    expect(logTicks(0.02, 0.045)).toEqual([0.02, 0.03, 0.04]);
  });
  it("of a long logarithm are fewer", () => {
    expect(logTicks(1, 1e4)).toEqual([1, 10, 100, 1000, 10000]);
    expect(logTicks(1e-12, 1e12).length).toBeLessThan(10);
  });
});

describe("makeScale", () => {
  it("puts the ends of a linear domain on ticks", () => {
    const scale = makeScale("linear", [0.13, 0.97], [100, 0]);
    expect(scale.domain[0]).toBeCloseTo(0);
    expect(scale.domain[1]).toBeCloseTo(1);
    expect(scale.at(0.25)).toBeCloseTo(75);
    expect(scale.invert(75)).toBeCloseTo(0.25);
  });
  it("keeps an exact domain", () => {
    expect(makeScale("linear", [1, 12], [0, 110], { exact: true }).at(2)).toBeCloseTo(10);
  });
  it("gives a domain of no width some", () => {
    const scale = makeScale("linear", [3, 3], [0, 10]);
    expect(scale.at(3)).toBeGreaterThan(0);
    expect(scale.at(3)).toBeLessThan(10);
    expect(makeScale("log", [3, 3], [0, 10]).at(3)).toBeCloseTo(5);
    expect(Number.isFinite(makeScale("linear", [0, 0], [0, 1]).at(0))).toBe(true);
  });
  it("has equal factors equally far apart in a logarithm, and no place for 0", () => {
    const scale = makeScale("log", [0.01, 1], [0, 100]);
    expect(scale.at(0.1)).toBeCloseTo(50);
    expect(scale.invert(50)).toBeCloseTo(0.1);
    expect(scale.at(0)).toBeNaN();
  });
});

it("a line has a gap where a value is missing", () => {
  expect(linePath([[0, 1], [1, 2], [2, NaN], [3, 4]])).toBe("M0.00 1.00L1.00 2.00M3.00 4.00");
});

describe("numbers in words", () => {
  it.each([
    [0, "0"], [0.01234, "0.0123"], [12345.6, "12,346"], [-0.5, "−0.5"], [1.2e-7, "1.2e−7"], [999.6, "1000"],
    [null, "–"], [NaN, "–"], [Infinity, "∞"], [3e12, "3e12"],
  ])("%s is written %s", (value, text) => expect(number(value)).toBe(text));
  it.each([[950, "950"], [1234, "1.23 k"], [999_900, "1 M"], [34e6, "34 M"], [null, "–"]])(
    "%s is written %s in short", (value, text) => expect(compact(value)).toBe(text),
  );
  it.each([[1.25, "1.3 s"], [59.2, "59 s"], [61, "1 min"], [7500, "2 h 5 min"], [7200, "2 h"], [null, "–"]])(
    "%s seconds are %s", (value, text) => expect(duration(value)).toBe(text),
  );
});
