/** Where one looks from: a plane that is moved and scaled, or a cloud that is turned. All yield one matrix. */
export type Matrix = Float32Array;
export type Bounds = { low: [number, number, number]; high: [number, number, number]; radius: number };
export type Camera = { dims: 2 | 3; x: number; y: number; z: number; scale: number; yaw: number; pitch: number };

/** Share of the canvas that the points fill. */
const FILL = 0.92;
/** How far the eye is from the middle, in radii of the cloud at scale 1. */
const FAR = 3;
/** How narrow the view is: a sphere of radius 1 seen from `FAR` just fits. */
const LENS = 2.75;
/** What is drawn lies between these distances from the eye. */
const [NEAREST, FARTHEST] = [0.02, 60];

export function boundsOf(points: Float32Array): Bounds {
  const low: Bounds["low"] = [Infinity, Infinity, Infinity];
  const high: Bounds["high"] = [-Infinity, -Infinity, -Infinity];
  for (let k = 0; k < points.length; k++) {
    const c = k % 3;
    if (points[k] < low[c]) low[c] = points[k];
    if (points[k] > high[c]) high[c] = points[k];
  }
  if (!points.length) return { low: [-1, -1, -1], high: [1, 1, 1], radius: 1 };
  const [x, y, z] = low.map((one, c) => (one + high[c]) / 2);
  let most = 0;
  for (let k = 0; k < points.length; k += 3)
    most = Math.max(most, (points[k] - x) ** 2 + (points[k + 1] - y) ** 2 + (points[k + 2] - z) ** 2);
  return { low, high, radius: Math.max(1e-9, Math.sqrt(most)) };
}

/** Look at all points. In 2-D `scale` is pixels a unit; in 3-D the size of the cloud against the canvas, over its radius. */
export function fit({ low, high, radius }: Bounds, dims: 2 | 3, width: number, height: number, before?: Camera): Camera {
  const [x, y, z] = low.map((one, c) => (one + high[c]) / 2);
  const sides = low.map((one, c) => Math.max(high[c] - one, 1e-9));
  const scale = dims === 2 ? FILL * Math.min(width / sides[0], height / sides[1]) : 1 / radius;
  return { dims, x, y, z, scale, yaw: before?.yaw ?? 0.6, pitch: before?.pitch ?? 0.35 };
}

/** Between two cameras of the same kind. */
export function between(a: Camera, b: Camera, t: number): Camera {
  const mix = (from: number, to: number) => from + t * (to - from);
  return {
    ...b,
    x: mix(a.x, b.x),
    y: mix(a.y, b.y),
    z: mix(a.z, b.z),
    scale: Math.exp(mix(Math.log(a.scale), Math.log(b.scale))),
  };
}

/** The matrix (column by column) from points to clip space. */
export function matrixOf(camera: Camera, width: number, height: number): Matrix {
  return camera.dims === 2 ? flat(camera, width, height) : turned(camera, width, height);
}

function flat({ x, y, scale }: Camera, width: number, height: number): Matrix {
  const [sx, sy] = [(2 * scale) / width, (2 * scale) / height];
  return Float32Array.of(sx, 0, 0, 0, 0, sy, 0, 0, 0, 0, 0, 0, -x * sx, -y * sy, 0, 1);
}

/** Perspective of a cloud whose radius is 1 / scale at first; the eye looks at (x, y, z). */
function turned(camera: Camera, width: number, height: number): Matrix {
  const { x, y, z, scale } = camera;
  const [right, up, back] = axes(camera);
  const lens = LENS * Math.min(1, width / height);
  const [sx, sy] = [(lens * height) / width, lens];
  const rows = [right, up, back].map((axis) => ({ axis, at: -(axis[0] * x + axis[1] * y + axis[2] * z) * scale }));
  const m = new Float32Array(16);
  for (let c = 0; c < 4; c++) {
    const part = (row: number) => (c < 3 ? rows[row].axis[c] * scale : rows[row].at);
    const depth = (c < 3 ? 0 : FAR) - part(2);
    m[4 * c] = sx * part(0);
    m[4 * c + 1] = sy * part(1);
    m[4 * c + 2] = ((FARTHEST + NEAREST) * depth - (c < 3 ? 0 : 2 * FARTHEST * NEAREST)) / (FARTHEST - NEAREST);
    m[4 * c + 3] = depth;
  }
  return m;
}

/** Right, up and towards the eye, of a turned camera. */
function axes({ yaw, pitch }: Camera): [number, number, number][] {
  const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  return [
    [cy, 0, -sy],
    [-sy * sp, cp, -cy * sp],
    [sy * cp, sp, cy * cp],
  ];
}

/** Where a point lies on the canvas in pixels, and its depth; behind the eye: depth is not positive. */
export function project(m: Matrix, x: number, y: number, z: number, width: number, height: number): [number, number, number] {
  const w = m[3] * x + m[7] * y + m[11] * z + m[15];
  const u = (m[0] * x + m[4] * y + m[8] * z + m[12]) / w;
  const v = (m[1] * x + m[5] * y + m[9] * z + m[13]) / w;
  return [((u + 1) * width) / 2, ((1 - v) * height) / 2, w];
}

/** The point of the plane under a pixel. */
export function unproject(camera: Camera, px: number, py: number, width: number, height: number): [number, number] {
  return [camera.x + (px - width / 2) / camera.scale, camera.y - (py - height / 2) / camera.scale];
}

/** Nearer or farther; in 2-D what is under the pixel stays there. */
export function zoomed(camera: Camera, factor: number, px: number, py: number, width: number, height: number): Camera {
  const next = { ...camera, scale: camera.scale * factor };
  if (camera.dims === 3) return next;
  const [x, y] = unproject(camera, px, py, width, height);
  const [nx, ny] = unproject(next, px, py, width, height);
  return { ...next, x: next.x + x - nx, y: next.y + y - ny };
}

/** Move what is seen by pixels. */
export function moved(camera: Camera, dx: number, dy: number, height: number): Camera {
  if (camera.dims === 2) return { ...camera, x: camera.x - dx / camera.scale, y: camera.y + dy / camera.scale };
  const step = (2 * FAR) / (LENS * camera.scale * height);
  const [right, up] = axes(camera);
  const [x, y, z] = [0, 1, 2].map((c) => step * (-dx * right[c] + dy * up[c]));
  return { ...camera, x: camera.x + x, y: camera.y + y, z: camera.z + z };
}

export function rotated(camera: Camera, dx: number, dy: number): Camera {
  const pitch = Math.max(-1.55, Math.min(1.55, camera.pitch + 0.008 * dy));
  return { ...camera, yaw: camera.yaw - 0.008 * dx, pitch };
}
