/** The drawn points: what is on the canvas, from where one looks, and which point lies where. */
import { between, boundsOf, fit, matrixOf, moved, project, rotated, unproject, zoomed, type Camera, type Matrix } from "./camera";
import { settleSoon } from "../../state/first";
import { sameImages, type Loaded } from "./load";
import { enclosed, enclosedOnScreen, foremost, nearest, within } from "./nearby";
import { LARGEST_STEP, Renderer } from "./renderer";

/** How long the points take from layer to layer (ms). */
const MOVE = 900;
/** While one moves or turns, about so many points are drawn, and all again once one rests for a moment (ms). */
const IN_MOTION = 250_000;
const REST = 160;
/** How near the pointer must come to a point (CSS pixels). */
const REACH = 12;

export class Plot {
  width = $state(1);
  height = $state(1);
  camera = $state.raw<Camera>({ dims: 2, x: 0, y: 0, z: 0, scale: 1, yaw: 0.6, pitch: 0.35 });
  loaded = $state.raw<Loaded | null>(null);
  moving = $state(false);
  /** Whether all points are looked at, so that a new layer is shown whole too. */
  whole = $state(true);
  matrix = $derived.by<Matrix>(() => matrixOf(this.camera, this.width, this.height));

  sizeFactor = 1;
  dark = false;
  private renderer: Renderer | null = null;
  private canvas: HTMLCanvasElement | null = null;
  /** 0 for points that cannot be found. */
  private pickable = $state.raw<Uint8Array>(new Uint8Array(0));
  private colours: Uint8Array = new Uint8Array(0);
  private before: Float32Array = new Float32Array(0);
  private share = 1;
  private wholeScale = 1;
  private drawing = 0;
  private moveFrame = 0;
  private rough = false;
  private resting = 0;

  /** Take over a canvas; the answer gives it back. */
  attach(canvas: HTMLCanvasElement): () => void {
    this.canvas = canvas;
    this.renderer = new Renderer(canvas);
    const lost = (event: Event) => event.preventDefault();
    const restored = () => {
      this.renderer?.prepare();
      this.upload();
    };
    canvas.addEventListener("webglcontextlost", lost);
    canvas.addEventListener("webglcontextrestored", restored);
    return () => {
      canvas.removeEventListener("webglcontextlost", lost);
      canvas.removeEventListener("webglcontextrestored", restored);
      cancelAnimationFrame(this.drawing);
      cancelAnimationFrame(this.moveFrame);
      clearTimeout(this.resting);
      this.renderer?.close();
      this.renderer = null;
    };
  }

  resize(width: number, height: number): void {
    if (!this.canvas || width < 2 || height < 2) return;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.width = width;
    this.height = height;
    if (this.whole) this.lookAtAll();
    this.redraw();
  }

  /** Show an embedding; the points of the same images move to their new places. */
  show(next: Loaded, camera: Camera | null): void {
    const last = this.loaded;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const moves = last !== null && last !== next && last.dims === next.dims && sameImages(last, next) && !still;
    this.before = moves ? this.current() : next.points;
    this.loaded = next;
    this.share = moves ? 0 : 1;
    const whole = fit(boundsOf(next.points), next.dims, this.width, this.height, this.camera);
    this.wholeScale = whole.scale;
    if (camera) this.whole = false;
    else if (last && last.dims !== next.dims) this.whole = true;
    const target = camera ?? (this.whole ? whole : this.camera);
    this.renderer?.setPlaces(this.before, next.points);
    if (moves) this.move(this.camera, target);
    else {
      this.stop();
      this.camera = target;
    }
    this.redraw();
  }

  paint(colours: Uint8Array): void {
    this.colours = colours;
    this.renderer?.setColours(colours);
    this.redraw();
  }

  flag(flags: Uint8Array): void {
    this.pickable = flags;
    this.renderer?.setFlags(flags);
    this.redraw();
  }

  lookAtAll(): void {
    if (!this.loaded) return;
    this.camera = fit(boundsOf(this.loaded.points), this.loaded.dims, this.width, this.height, this.camera);
    this.wholeScale = this.camera.scale;
    this.whole = true;
    this.redraw();
  }

  zoom(factor: number, x = this.width / 2, y = this.height / 2): void {
    const scale = this.camera.scale * factor;
    if (scale < this.wholeScale / 20 || scale > this.wholeScale * 5000) return;
    this.look(zoomed(this.camera, factor, x, y, this.width, this.height));
  }

  pan(dx: number, dy: number): void {
    this.look(moved(this.camera, dx, dy, this.height));
  }

  turn(dx: number, dy: number): void {
    this.look(rotated(this.camera, dx, dy));
  }

  /** The point at a pixel; -1 for none. */
  pick(x: number, y: number): number {
    const { loaded, camera, width, height, pickable, matrix } = this;
    if (!loaded || this.moving || pickable.length !== loaded.numbers.length) return -1;
    if (!loaded.grid) return foremost(loaded.points, matrix, x, y, REACH, pickable, width, height);
    const [px, py] = unproject(camera, x, y, width, height);
    return nearest(loaded.grid, px, py, REACH / camera.scale, pickable);
  }

  /** The points inside an outline in pixels (x, y one after the other). */
  enclosedBy(outline: Float64Array): number[] {
    const { loaded, camera, width, height, pickable, matrix } = this;
    if (!loaded || pickable.length !== loaded.numbers.length) return [];
    if (!loaded.grid) return enclosedOnScreen(loaded.points, matrix, outline, pickable, width, height);
    const flat = outline.slice();
    for (let k = 0; k < flat.length; k += 2) [flat[k], flat[k + 1]] = unproject(camera, outline[k], outline[k + 1], width, height);
    return enclosed(loaded.grid, flat, pickable);
  }

  /** Points of a plane that lie on the canvas and can be found, at most so many. */
  inSight(most: number): number[] {
    const { loaded, camera, width, height, pickable } = this;
    if (!loaded?.grid || pickable.length !== loaded.numbers.length) return [];
    const [left, top] = unproject(camera, 0, 0, width, height);
    const [right, bottom] = unproject(camera, width, height, width, height);
    return within(loaded.grid, [left, bottom, right, top], pickable, most);
  }

  /** Where a place of the embedding lies on the canvas in CSS pixels; null where it is behind the eye. */
  where(x: number, y: number, z: number): [number, number] | null {
    const [px, py, depth] = project(this.matrix, x, y, z, this.width, this.height);
    return depth > 0 ? [px, py] : null;
  }

  whereIs(k: number): [number, number] | null {
    const points = this.loaded?.points;
    return points && k >= 0 ? this.where(points[3 * k], points[3 * k + 1], points[3 * k + 2]) : null;
  }

  /** Diameter of a point in CSS pixels: smaller where there are many, larger from near. */
  get size(): number {
    const many = Math.max(1.4, Math.min(8, 60 / (this.loaded?.numbers.length || 1) ** 0.27));
    const near = this.camera.dims === 3 ? 1 : Math.max(1, Math.min(4, (this.camera.scale / this.wholeScale) ** 0.35));
    return this.sizeFactor * many * near;
  }

  get opacity(): number {
    return (this.loaded?.numbers.length ?? 0) > 20_000 ? 0.7 : 0.9;
  }

  redraw(): void {
    cancelAnimationFrame(this.drawing);
    this.drawing = requestAnimationFrame(() => this.draw());
  }

  /** Draw at once, as for a picture that is saved. */
  draw(whole = false): void {
    if (whole) this.rough = false;
    const grey = this.dark ? 0.45 : 0.6;
    this.renderer?.draw({
      matrix: this.matrix,
      share: ease(this.share),
      size: this.size,
      depth: this.camera.dims === 3 ? 3 : 0,
      shadow: [grey, grey, grey, (this.loaded?.numbers.length ?? 0) > 20_000 ? 0.12 : 0.25],
      opacity: this.opacity,
      step: this.rough || this.moving ? Math.min(LARGEST_STEP, Math.ceil((this.loaded?.numbers.length ?? 1) / IN_MOTION)) : 1,
    });
    if (this.loaded && this.width > 1) settleSoon();
  }

  private upload(): void {
    if (!this.loaded) return;
    this.renderer?.setPlaces(this.before, this.loaded.points);
    this.renderer?.setColours(this.colours);
    this.renderer?.setFlags(this.pickable);
    this.redraw();
  }

  private look(camera: Camera): void {
    this.stop();
    this.camera = camera;
    this.whole = false;
    this.rough = true;
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => {
      this.rough = false;
      this.redraw();
    }, REST);
    this.redraw();
  }

  private move(from: Camera, to: Camera): void {
    cancelAnimationFrame(this.moveFrame);
    const start = performance.now();
    this.moving = true;
    const step = () => {
      this.share = Math.min(1, (performance.now() - start) / MOVE);
      this.camera = between(from, to, ease(this.share));
      this.draw();
      if (this.share < 1) this.moveFrame = requestAnimationFrame(step);
      else {
        this.stop();
        this.redraw();
      }
    };
    this.moveFrame = requestAnimationFrame(step);
  }

  private stop(): void {
    cancelAnimationFrame(this.moveFrame);
    this.share = 1;
    this.moving = false;
  }

  /** Where the points are now, also halfway. */
  private current(): Float32Array {
    const after = this.loaded?.points ?? new Float32Array(0);
    if (this.share >= 1) return after;
    const t = ease(this.share);
    return after.map((one, k) => this.before[k] + t * (one - this.before[k]));
  }
}


/** Slow at both ends. */
function ease(t: number): number {
  return t * t * (3 - 2 * t);
}
