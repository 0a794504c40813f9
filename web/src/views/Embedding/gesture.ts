/** What fingers and mouse do on the canvas: move, turn, zoom, draw an outline, click. */
export type Mode = "move" | "lasso" | "box";

export type Actions = {
  mode: () => Mode;
  dims: () => 2 | 3;
  pan: (dx: number, dy: number) => void;
  turn: (dx: number, dy: number) => void;
  zoom: (factor: number, x: number, y: number) => void;
  /** The pointer is over a pixel; at (-1, -1) it left. */
  hover: (x: number, y: number) => void;
  /** The outline so far, x and y one after the other; empty once it ended. */
  draw: (outline: number[]) => void;
  enclose: (outline: number[], add: boolean) => void;
  click: (x: number, y: number, add: boolean) => void;
  end: () => void;
};

type Finger = { x: number; y: number };
/** A pointer that moved less is a click (pixels). */
const STILL = 4;

export class Gesture {
  private fingers = new Map<number, Finger>();
  private start: Finger | null = null;
  private kind: "drag" | "turn" | "outline" | "pinch" | null = null;
  private outline: number[] = [];
  private still = true;

  constructor(private act: Actions) {}

  down(event: PointerEvent): void {
    const at = placeIn(event);
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, at);
    this.start = at;
    this.still = this.fingers.size === 1;
    this.act.hover(-1, -1);
    const draws = this.act.mode() !== "move" || (event.shiftKey && event.button === 0);
    if (this.fingers.size > 1) this.kind = "pinch";
    else if (draws) this.kind = "outline";
    else this.kind = this.act.dims() === 3 && event.button === 0 && !event.ctrlKey ? "turn" : "drag";
    this.outline = this.kind === "outline" ? [at.x, at.y] : [];
    this.act.draw([]);
  }

  move(event: PointerEvent): void {
    const at = placeIn(event);
    const before = this.fingers.get(event.pointerId);
    if (!before) return event.pointerType === "mouse" ? this.act.hover(at.x, at.y) : undefined;
    if (this.start && Math.hypot(at.x - this.start.x, at.y - this.start.y) > STILL) this.still = false;
    if (this.kind === "pinch") this.pinch(event.pointerId, at);
    this.fingers.set(event.pointerId, at);
    if (this.still) return;
    if (this.kind === "drag") this.act.pan(at.x - before.x, at.y - before.y);
    if (this.kind === "turn") this.act.turn(at.x - before.x, at.y - before.y);
    if (this.kind === "outline") this.grow(at);
  }

  up(event: PointerEvent): void {
    const at = placeIn(event);
    const known = this.fingers.delete(event.pointerId);
    if (!known) return;
    const add = event.shiftKey || event.ctrlKey || event.metaKey;
    if (this.still && this.start) this.act.click(at.x, at.y, add);
    else if (this.kind === "outline") this.close(add && this.act.mode() !== "move");
    if (!this.fingers.size) this.rest();
  }

  cancel(event: PointerEvent): void {
    this.fingers.delete(event.pointerId);
    this.rest();
  }

  leave(): void {
    if (!this.fingers.size) this.act.hover(-1, -1);
  }

  wheel(event: WheelEvent): void {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 300 : 1);
    this.act.zoom(Math.exp(-0.0015 * Math.max(-400, Math.min(400, pixels))), event.offsetX, event.offsetY);
    this.act.end();
  }

  private pinch(id: number, at: Finger): void {
    const other = [...this.fingers].find(([one]) => one !== id)?.[1];
    const before = this.fingers.get(id);
    if (!other || !before) return;
    const apart = (a: Finger) => Math.max(1, Math.hypot(a.x - other.x, a.y - other.y));
    this.act.zoom(apart(at) / apart(before), (at.x + other.x) / 2, (at.y + other.y) / 2);
    this.act.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
  }

  private grow(at: Finger): void {
    const n = this.outline.length;
    if (this.act.mode() === "box") this.outline = [this.outline[0], this.outline[1], at.x, at.y];
    else if (Math.hypot(at.x - this.outline[n - 2], at.y - this.outline[n - 1]) >= 3) this.outline.push(at.x, at.y);
    this.act.draw([...this.outline]);
  }

  private close(add: boolean): void {
    const outline = this.act.mode() === "box" ? boxOf(this.outline) : this.outline;
    if (outline.length >= 6) this.act.enclose(outline, add);
  }

  private rest(): void {
    this.kind = null;
    this.start = null;
    this.outline = [];
    this.act.draw([]);
    this.act.end();
  }
}

/** The four corners of a box between two opposite ones. */
export function boxOf([x0, y0, x1, y1]: number[]): number[] {
  return [x0, y0, x1, y0, x1, y1, x0, y1];
}

function placeIn(event: PointerEvent): Finger {
  const rect = (event.currentTarget as Element).getBoundingClientRect();
  return { x: event.clientX - rect.left, y: event.clientY - rect.top };
}
