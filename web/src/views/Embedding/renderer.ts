/**
 * Points by WebGL2: up to a million, flat or in space, that move from one place to the next on the graphics card.
 *
 * One buffer a property, so that a new colour or filter uploads a few bytes a point and nothing else.
 */
import type { Matrix } from "./camera";

/** What is drawn of a point: nothing of those filtered out but a shadow; the selected ones larger and on top. */
export const SHADOW = 0;
export const NORMAL = 1;
export const SELECTED = 2;

const VERTEX = `#version 300 es
in vec3 before;
in vec3 after;
in vec4 colour;
in float flag;
uniform mat4 matrix;
uniform float share;
uniform float size;
uniform float pass;
uniform float depth;
uniform vec4 shadow;
uniform float opacity;
out vec4 ink;
out float radius;
void main() {
  if (abs(flag - pass) > 0.5) { gl_Position = vec4(2.0, 2.0, 2.0, 1.0); gl_PointSize = 0.0; return; }
  gl_Position = matrix * vec4(mix(before, after, share), 1.0);
  float near = depth > 0.0 ? clamp(depth / gl_Position.w, 0.3, 4.0) : 1.0;
  radius = size * near * (flag > 1.5 ? 1.5 : (flag < 0.5 ? 0.7 : 1.0));
  gl_PointSize = radius;
  ink = flag < 0.5 ? shadow : vec4(colour.rgb, flag > 1.5 ? 1.0 : colour.a * opacity);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 ink;
in float radius;
out vec4 result;
void main() {
  float away = length(gl_PointCoord - 0.5) * radius;
  float cover = radius < 2.5 ? 1.0 : clamp(0.5 * radius - away + 0.5, 0.0, 1.0);
  if (cover <= 0.0) discard;
  result = vec4(ink.rgb, 1.0) * ink.a * cover;
}`;

const UNIFORMS = ["matrix", "share", "size", "pass", "depth", "shadow", "opacity"] as const;
type Uniforms = Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>;

/** What differs from frame to frame. */
export type Frame = {
  matrix: Matrix;
  /** How far the points have gone from their last place to the new one, 0 to 1. */
  share: number;
  /** Diameter in CSS pixels. */
  size: number;
  /** In space: the depth at which points have that diameter; 0 for a plane. */
  depth: number;
  shadow: [number, number, number, number];
  opacity: number;
  /** Draw every first, second, third … point of the buffers. */
  step: number;
};

/** A jump between points takes at most 255 bytes, of which a place has 12. */
export const LARGEST_STEP = 21;
/** Numbers a point, and bytes a number. */
const SHAPES = { before: [3, 4], after: [3, 4], colour: [4, 1], flag: [1, 1] } as const;

export class Renderer {
  private gl: WebGL2RenderingContext;
  private program!: WebGLProgram;
  private uniforms!: Uniforms;
  private buffers!: Record<"before" | "after" | "colour" | "flag", WebGLBuffer>;
  private count = 0;
  private step = 1;
  private passes = { shadow: false, selected: false };

  constructor(private canvas: HTMLCanvasElement) {
    const gl = canvas.getContext("webgl2", { antialias: false, alpha: true, premultipliedAlpha: true });
    if (!gl) throw new Error("This browser cannot draw the points: it has no WebGL2. Turn on hardware acceleration, or use another browser.");
    this.gl = gl;
    this.prepare();
  }

  /** Compile the program and make the buffers, at first and after the graphics card was lost. */
  prepare(): void {
    const { gl } = this;
    this.program = link(gl);
    this.uniforms = Object.fromEntries(UNIFORMS.map((name) => [name, gl.getUniformLocation(this.program, name)])) as Uniforms;
    const make = () => gl.createBuffer();
    this.buffers = { before: make(), after: make(), colour: make(), flag: make() };
    this.attach(1);
  }

  /** Places (x, y, z one after the other) from which and to which the points move. */
  setPlaces(before: Float32Array, after: Float32Array): void {
    this.count = after.length / 3;
    this.fill("before", before);
    this.fill("after", after);
  }

  /** Red, green, blue and opacity, four bytes a point. */
  setColours(colours: Uint8Array): void {
    this.fill("colour", colours);
  }

  /** SHADOW, NORMAL or SELECTED, one byte a point. */
  setFlags(flags: Uint8Array): void {
    this.fill("flag", flags);
    this.passes = { shadow: flags.includes(SHADOW), selected: flags.includes(SELECTED) };
  }

  draw(frame: Frame): void {
    const { gl, canvas, uniforms } = this;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!this.count) return;
    if (frame.step !== this.step) this.attach(frame.step);
    gl.useProgram(this.program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.depthFunc(gl.LEQUAL);
    const ratio = canvas.width / Math.max(1, canvas.clientWidth);
    gl.uniformMatrix4fv(uniforms.matrix, false, frame.matrix);
    gl.uniform1f(uniforms.share, frame.share);
    gl.uniform1f(uniforms.size, frame.size * ratio);
    gl.uniform1f(uniforms.depth, frame.depth);
    gl.uniform4fv(uniforms.shadow, frame.shadow);
    gl.uniform1f(uniforms.opacity, frame.opacity);
    const space = frame.depth > 0;
    if (this.passes.shadow) this.pass(SHADOW, false);
    this.pass(NORMAL, space);
    if (this.passes.selected) this.pass(SELECTED, false);
  }

  /** Give the graphics card its memory back. */
  close(): void {
    for (const buffer of Object.values(this.buffers)) this.gl.deleteBuffer(buffer);
    this.gl.deleteProgram(this.program);
  }

  private pass(which: number, solid: boolean): void {
    const { gl } = this;
    if (solid) gl.enable(gl.DEPTH_TEST);
    else gl.disable(gl.DEPTH_TEST);
    gl.uniform1f(this.uniforms.pass, which);
    gl.drawArrays(gl.POINTS, 0, Math.ceil(this.count / this.step));
  }

  private fill(name: keyof typeof this.buffers, data: Float32Array | Uint8Array): void {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers[name]);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, data, this.gl.DYNAMIC_DRAW);
  }

  /** Read every `step`-th point of the buffers. */
  private attach(step: number): void {
    const { gl } = this;
    this.step = step;
    for (const name of ["before", "after", "colour", "flag"] as const) {
      const [size, bytes] = SHAPES[name];
      const at = gl.getAttribLocation(this.program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, size, bytes === 4 ? gl.FLOAT : gl.UNSIGNED_BYTE, name === "colour", step * size * bytes, 0);
    }
  }
}

/** Start the graphics process and compile the program there, before there is anything to draw. */
export function warmUp(): void {
  const gl = document.createElement("canvas").getContext("webgl2", { antialias: false });
  if (!gl) return; // What is wrong is said when points are to be drawn.
  gl.useProgram(compile(gl));
  gl.drawArrays(gl.POINTS, 0, 1);
  gl.flush();
}

function link(gl: WebGL2RenderingContext): WebGLProgram {
  const program = compile(gl);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
    throw new Error(`The graphics card refuses to draw the points: ${gl.getProgramInfoLog(program) ?? "no reason given"}`);
  return program;
}

function compile(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
    const shader = gl.createShader(type);
    if (!shader) continue; // The context is lost: it will be prepared again.
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  return program;
}
