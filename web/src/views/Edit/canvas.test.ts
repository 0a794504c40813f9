import { describe, expect, it } from "vitest";
import { Canvas } from "./canvas";

const grey = () => new Canvas(Uint8Array.from([10, 20, 30, 40, 50, 60]), 1, 2, 3);
const colour = () => new Canvas(Uint8Array.from({ length: 12 }, (_, k) => k), 3, 2, 2);

describe("Canvas", () => {
  it("paints a value for each channel and marks the pixel", () => {
    const canvas = colour();
    canvas.fill([1], [100, 101, 102]);
    expect([...canvas.pixels]).toEqual([0, 100, 2, 3, 4, 101, 6, 7, 8, 102, 10, 11]);
    expect([...canvas.mask]).toEqual([0, 1, 0, 0]);
    expect(canvas.changed).toBe(1);
    canvas.fill([0], [0, 4, 8]);
    expect([canvas.changed, canvas.differing]).toEqual([2, 1]);
  });

  it("leaves the original as it was", () => {
    const source = Uint8Array.from([1, 2, 3, 4]);
    const canvas = new Canvas(source, 1, 2, 2);
    canvas.fill([0, 1, 2, 3], [9]);
    expect([...source]).toEqual([1, 2, 3, 4]);
    expect([...canvas.original]).toEqual([1, 2, 3, 4]);
  });

  it("takes a stroke back in one step, and makes it again", () => {
    const canvas = grey();
    canvas.begin();
    canvas.fill([0, 1], [0]);
    canvas.fill([1, 2], [7]);
    canvas.end();
    expect([...canvas.pixels]).toEqual([0, 7, 7, 40, 50, 60]);
    canvas.undo();
    expect([...canvas.pixels]).toEqual([10, 20, 30, 40, 50, 60]);
    expect(canvas.changed).toBe(0);
    expect(canvas.canUndo).toBe(false);
    canvas.redo();
    expect([...canvas.pixels]).toEqual([0, 7, 7, 40, 50, 60]);
    expect([...canvas.mask]).toEqual([1, 1, 1, 0, 0, 0]);
  });

  it("forgets what was undone once something else is painted", () => {
    const canvas = grey();
    canvas.fill([0], [1]);
    canvas.undo();
    canvas.fill([1], [2]);
    expect(canvas.canRedo).toBe(false);
    canvas.redo();
    expect([...canvas.pixels]).toEqual([10, 2, 30, 40, 50, 60]);
  });

  it("brings the original's pixels back and unmarks them", () => {
    const canvas = grey();
    canvas.fill([0, 1, 2], [0]);
    canvas.fill([1], "original");
    expect([...canvas.pixels]).toEqual([0, 20, 0, 40, 50, 60]);
    expect([...canvas.mask]).toEqual([1, 0, 1, 0, 0, 0]);
  });

  it("resets in one step that can be undone", () => {
    const canvas = grey();
    canvas.fill([0], [0]);
    canvas.fill([5], [0]);
    canvas.reset();
    expect([...canvas.pixels]).toEqual([10, 20, 30, 40, 50, 60]);
    canvas.undo();
    expect([...canvas.pixels]).toEqual([0, 20, 30, 40, 50, 0]);
  });

  it("counts a step that changed nothing as none", () => {
    const canvas = grey();
    canvas.begin();
    canvas.end();
    canvas.reset();
    expect(canvas.canUndo).toBe(false);
  });

  it("sends the pixels, then the mask", () => {
    const canvas = grey();
    canvas.fill([4], [255]);
    expect([...canvas.body()]).toEqual([10, 20, 30, 40, 255, 60, 0, 0, 0, 0, 1, 0]);
  });
});
