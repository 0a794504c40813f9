/** The page's state as its address, `#/SUBJECT/VIEW?key=value…`, and back. */
import { asRanges, NO_FILTERS, rangesOf, type Filters } from "./filters";

export type Place = {
  subject: string | null;
  view: string | null;
  part: "train" | "test";
  focus: number | null;
  selection: number[];
  filters: Filters;
  /** The view's own state. */
  params: Record<string, string>;
};

/** Names that belong to all views; a view's own state uses others. */
const SHARED = ["part", "image", "selected", "class", "predicted", "wrong", "confidence", "search"];
/** A longer selection is not kept in the address: browsers and mails cut long ones. */
const LONGEST_SELECTION = 1500;

export function readAddress(hash: string): Place {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [subject, view] = path.split("/").map(decode);
  const all = new URLSearchParams(query);
  return {
    subject: subject || null,
    view: view || null,
    part: all.get("part") === "train" ? "train" : "test",
    focus: whole(all.get("image")),
    selection: selectionOf(all.get("selected")),
    filters: readFilters(all),
    params: Object.fromEntries([...all].filter(([name]) => !SHARED.includes(name))),
  };
}

export function writeAddress(place: Place): string {
  const { subject, view, part, focus, selection, filters, params } = place;
  const ranges = asRanges(selection);
  const shared: [string, string | null][] = [
    ["part", part === "test" ? null : part],
    ["image", focus === null ? null : String(focus)],
    ["selected", ranges && ranges.length <= LONGEST_SELECTION ? ranges : null],
    ["class", filters.classes.join(",") || null],
    ["predicted", filters.predicted.join(",") || null],
    ["wrong", filters.wrong === null ? null : filters.wrong ? "yes" : "no"],
    ["confidence", filters.confidence[0] > 0 || filters.confidence[1] < 1 ? filters.confidence.join("-") : null],
    ["search", filters.search || null],
  ];
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) query.set(name, value);
  for (const [name, value] of shared) if (value !== null) query.set(name, value);
  const path = [subject, view].filter((piece) => piece !== null).map((piece) => encodeURIComponent(piece));
  const text = query.toString().replace(/%2C/g, ",").replace(/%2F/g, "/");
  return `#/${path.join("/")}${text ? `?${text}` : ""}`;
}

function readFilters(all: URLSearchParams): Filters {
  const [low, high] = (all.get("confidence") ?? "0-1").split("-").map(Number);
  const wrong = all.get("wrong");
  return {
    classes: list(all.get("class")),
    predicted: list(all.get("predicted")),
    wrong: wrong === "yes" ? true : wrong === "no" ? false : null,
    confidence: low >= 0 && high <= 1 && low <= high ? [low, high] : NO_FILTERS.confidence,
    search: all.get("search") ?? "",
  };
}

/** A selection of the address is at most that of a million images, whatever the address says. */
function selectionOf(text: string | null): number[] {
  const numbers: number[] = [];
  for (const [low, high] of (text && rangesOf(text)) || [])
    for (let number = low; number <= high && numbers.length < 1_000_000; number++) numbers.push(number);
  return numbers;
}

function list(text: string | null): number[] {
  return (text ?? "")
    .split(",")
    .map((piece) => whole(piece))
    .filter((value) => value !== null);
}

function whole(text: string | null): number | null {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
