import { describe, expect, it } from "vitest";
import { alike, meanFall, verdict, type Trial } from "./trials";

const trial = (kind: "hottest" | "random", after: number, more: Partial<Trial> = {}): Trial => ({
  kind,
  map: "Grad-CAM at conv3",
  percent: 10,
  pixels: 78,
  differing: 60,
  watched: "5",
  before: 0.98,
  after,
  said: "5",
  ...more,
});

describe("verdict", () => {
  it("says that the map points at something used", () => {
    expect(verdict([trial("hottest", 0.08), trial("random", 0.96), trial("random", 0.98)])).toBe(
      "Covering the hottest 10% changes the probability of 5 by −90 points, 2 random places of this size on average by −1.0. The map points at something that the model uses.",
    );
  });

  it("says that it does not, where a random place does as much", () => {
    expect(verdict([trial("hottest", 0.96), trial("random", 0.97)])).toContain("a random place of this size by −1.0. The difference is not clear");
    expect(verdict([trial("hottest", 0.99), trial("random", 0.2)])).toContain("+1.0 points");
    expect(verdict([trial("hottest", 0.99), trial("random", 0.2)])).toContain("Other places matter more");
  });

  it("waits until both were tried", () => {
    expect(verdict([trial("hottest", 0.1)])).toBe("");
    expect(verdict([])).toBe("");
  });
});

describe("trials", () => {
  it("are compared where map, class and share are the same", () => {
    const all = [trial("hottest", 0.1), trial("random", 0.9, { percent: 20 }), trial("random", 0.9, { map: "other" }), trial("random", 0.9)];
    expect(alike(all, all[0])).toEqual([all[0], all[3]]);
  });

  it("fall by points on average", () => {
    expect(meanFall([trial("random", 0.88), trial("random", 0.78)])).toBeCloseTo(15);
    expect(meanFall([])).toBe(null);
  });
});
