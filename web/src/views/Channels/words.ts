/** What a channel's removal costs, in words. */
import type { Layer } from "./layer";

/** A change of a measure: in points of a percent where it is a share, with its sign. */
export function changeWords(value: number, isShare: boolean): string {
  const text = isShare ? `${Math.abs(100 * value).toFixed(1)} points` : String(Number(Math.abs(value).toPrecision(2)));
  return `${value < 0 ? "−" : ""}${text}`;
}

/** What is lost without a channel, with its interval; empty where that is not known. */
export function lostWords(layer: Layer, channel: number): string {
  const lost = layer.lost?.[channel] ?? NaN;
  if (!Number.isFinite(lost)) return "";
  const share = layer.meta.lost_is_share;
  const [low, high] = [layer.lostLow?.[channel] ?? NaN, layer.lostHigh?.[channel] ?? NaN];
  const interval = Number.isFinite(low) && Number.isFinite(high) ? ` (${changeWords(low, share)} to ${changeWords(high, share)})` : "";
  return `${changeWords(lost, share)}${interval}`;
}
