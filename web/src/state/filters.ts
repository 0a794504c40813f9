/** Which images are looked at: by class, prediction, right or wrong, confidence, and search; all must hold. */
export type Filters = {
  classes: number[];
  predicted: number[];
  wrong: boolean | null;
  confidence: [number, number];
  search: string;
};

export const NO_FILTERS: Filters = { classes: [], predicted: [], wrong: null, confidence: [0, 1], search: "" };

/** What the filters read, one value an image of the part. */
export type Filterable = {
  numbers: Int32Array;
  label: Int32Array | null;
  predicted: Int32Array | null;
  confidence: Float32Array | null;
  names: string[] | null;
  classNames: string[];
};

export function isFiltered(filters: Filters): boolean {
  const { classes, predicted, wrong, confidence, search } = filters;
  return classes.length > 0 || predicted.length > 0 || wrong !== null || confidence[0] > 0 || confidence[1] < 1 || search !== "";
}

/** One byte an image: 1 where it passes. */
export function passing(filters: Filters, images: Filterable): Uint8Array {
  const passes = new Uint8Array(images.numbers.length).fill(1);
  keepIndices(passes, images.label, filters.classes);
  keepIndices(passes, images.predicted, filters.predicted);
  if (filters.wrong !== null) keepWrong(passes, images, filters.wrong);
  keepConfident(passes, images.confidence, filters.confidence);
  if (filters.search.trim()) keepMatching(passes, images, filters.search.trim().toLowerCase());
  return passes;
}

function keepIndices(passes: Uint8Array, values: Int32Array | null, wanted: number[]): void {
  if (!wanted.length || !values) return;
  const set = new Set(wanted);
  for (let k = 0; k < passes.length; k++) if (!set.has(values[k])) passes[k] = 0;
}

/** An image without a label or without a prediction is neither right nor wrong. */
function keepWrong(passes: Uint8Array, { label, predicted }: Filterable, wrong: boolean): void {
  if (!label || !predicted) return;
  for (let k = 0; k < passes.length; k++)
    if (label[k] < 0 || predicted[k] < 0 || (label[k] !== predicted[k]) !== wrong) passes[k] = 0;
}

function keepConfident(passes: Uint8Array, confidence: Float32Array | null, [low, high]: [number, number]): void {
  if (!confidence || (low <= 0 && high >= 1)) return;
  for (let k = 0; k < passes.length; k++) if (!(confidence[k] >= low && confidence[k] <= high)) passes[k] = 0;
}

/** A search finds numbers that are equal ("42", "40-45", several with commas), and names that contain it. */
function keepMatching(passes: Uint8Array, images: Filterable, search: string): void {
  const ranges = rangesOf(search);
  const { numbers, names, label, classNames } = images;
  const classes = new Set(classNames.flatMap((name, index) => (!ranges && name.toLowerCase().includes(search) ? [index] : [])));
  for (let k = 0; k < passes.length; k++) {
    if (!passes[k]) continue;
    const byNumber = ranges?.some(([low, high]) => numbers[k] >= low && numbers[k] <= high) ?? false;
    const byName = names?.[k]?.toLowerCase().includes(search) ?? false;
    if (!byNumber && !byName && !(label && classes.has(label[k]))) passes[k] = 0;
  }
}

/** Read "3, 10-20" as ranges; null where it is not such a list. */
export function rangesOf(text: string): [number, number][] | null {
  if (!/^\s*\d+(\s*-\s*\d+)?(\s*[,\s]\s*\d+(\s*-\s*\d+)?)*\s*$/.test(text)) return null;
  return text
    .replace(/\s*-\s*/g, "-")
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((piece) => {
      const [low, high] = piece.split("-").map(Number);
      return [low, high ?? low];
    });
}

/** Write sorted numbers as ranges, "3,10-20", the way back of `rangesOf`. */
export function asRanges(numbers: Iterable<number>): string {
  const sorted = [...numbers].sort((a, b) => a - b);
  const pieces: string[] = [];
  for (let k = 0; k < sorted.length; ) {
    let end = k;
    while (end + 1 < sorted.length && sorted[end + 1] === sorted[end] + 1) end++;
    pieces.push(end > k ? `${sorted[k]}-${sorted[end]}` : `${sorted[k]}`);
    k = end + 1;
  }
  return pieces.join(",");
}
