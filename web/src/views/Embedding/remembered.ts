/** From where one looks, as text for the address: x_y_scale of a plane, x_y_z_scale_yaw_pitch in space. */
import type { Camera } from "./camera";

export function writeCamera({ dims, x, y, z, scale, yaw, pitch }: Camera): string {
  return (dims === 2 ? [x, y, scale] : [x, y, z, scale, yaw, pitch]).map((one) => String(Number(one.toPrecision(5)))).join("_");
}

/** Null where the text is of the other kind or makes no sense. */
export function readCamera(text: string | null, dims: 2 | 3): Camera | null {
  const values = (text ?? "").split("_").map(Number);
  if (values.length !== (dims === 2 ? 3 : 6) || !values.every(Number.isFinite)) return null;
  const [x, y, z, scale, yaw, pitch] = dims === 2 ? [values[0], values[1], 0, values[2], 0.6, 0.35] : values;
  return scale > 0 ? { dims, x, y, z, scale, yaw, pitch } : null;
}
