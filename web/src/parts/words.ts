/** Numbers and images in words. */
import { app } from "../state/app.svelte";

/** Name of a class; "no label" for none. */
export function className(index: number | null | undefined): string {
  if (index == null || index < 0) return "none";
  return app.info?.classes[index] ?? `class ${index}`;
}

/** What the page calls a subject: its name, or its id where another has the same name. */
export function subjectName(id: string | null | undefined): string {
  const subjects = app.session?.subjects ?? [];
  const name = subjects.find((one) => one.id === id)?.name ?? id ?? "";
  return id && subjects.filter((one) => one.name === name).length > 1 ? id : name;
}

/** What an image is, for a screen reader and a tooltip. */
export function describe(number: number): string {
  const place = app.placeOf(number);
  const label = place >= 0 ? (app.columns?.label[place] ?? app.labels[place] ?? -1) : -1;
  const predicted = place >= 0 ? (app.columns?.predicted[place] ?? -1) : -1;
  const name = place >= 0 && app.names?.[place] ? `, ${app.names[place]}` : "";
  return `image ${number}${name}${label >= 0 ? `, class ${className(label)}` : ""}${predicted >= 0 ? `, predicted ${className(predicted)}` : ""}`;
}

export function percent(share: number, digits = 1): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(digits)}%` : "unknown";
}

/** A number with thousands separated. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A number of about three digits. */
export function rounded(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return "unknown";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
}

export function seconds(value: number): string {
  if (value < 90) return `${Math.round(value)} s`;
  return value < 5400 ? `${Math.round(value / 60)} min` : `${(value / 3600).toFixed(1)} h`;
}
