/** What is right and wrong of a segmentation, pixel by pixel, in the colours of glassnet's figures. */
import { rgb } from "../../parts/scales";

export const VOID = 255;

export const JUDGEMENTS = ["background", "right", "missed", "invented", "confused", "void"] as const;
export type Judgement = (typeof JUDGEMENTS)[number];

/** Name, meaning and colour (figures/segmentation.py) of each. */
export const JUDGED: Record<Judgement, { title: string; about: string; colour: string }> = {
  background: { title: "Background", about: "no object, none predicted", colour: "#15171c" },
  right: { title: "Right", about: "object, with the right class", colour: "#ededed" },
  missed: { title: "Missed", about: "object, predicted as background", colour: "#43b2ff" },
  invented: { title: "Invented", about: "background, predicted as an object", colour: "#e62e00" },
  confused: { title: "Confused", about: "object, predicted as another", colour: "#ff9f0f" },
  void: { title: "Void", about: "no label, not judged", colour: "#737373" },
};

export function judge(truth: number, predicted: number): Judgement {
  if (truth === VOID) return "void";
  if (truth === predicted) return truth === 0 ? "background" : "right";
  if (predicted === 0) return "missed";
  return truth === 0 ? "invented" : "confused";
}

/** The judgement of each pixel, as its place in JUDGEMENTS. */
export function judgeAll(truth: Uint8Array, predicted: Uint8Array): Uint8Array {
  return truth.map((value, place) => JUDGEMENTS.indexOf(judge(value, predicted[place])));
}

/** How many pixels are judged so, or so many of those in which a class is (truth or prediction). */
export function countJudged(
  truth: Uint8Array,
  predicted: Uint8Array,
  only: number | null = null,
): Record<Judgement, number> {
  const counts = Object.fromEntries(JUDGEMENTS.map((name) => [name, 0])) as Record<Judgement, number>;
  truth.forEach((value, place) => {
    const called = predicted[place];
    if (only === null || value === only || called === only) counts[judge(value, called)] += 1;
  });
  return counts;
}

/** Which pixels are in question: those of a class in truth or prediction; all for null. */
export function ofClass(truth: Uint8Array, predicted: Uint8Array, only: number | null): Uint8Array {
  return truth.map((value, place) => (only === null || value === only || predicted[place] === only ? 1 : 0));
}

/** Which pixels are predicted as a class. */
export function regionOf(predicted: Uint8Array, index: number): Uint8Array {
  return predicted.map((value) => (value === index ? 1 : 0));
}

/** Which pixels are of one class and hang together, edge to edge, with the pixel (x, y). */
export function regionAt(predicted: Uint8Array, height: number, width: number, [x, y]: [number, number]): Uint8Array {
  const region = new Uint8Array(predicted.length);
  const wanted = predicted[y * width + x];
  const waiting = [y * width + x];
  while (waiting.length) {
    const place = waiting.pop() as number;
    if (region[place] || predicted[place] !== wanted) continue;
    region[place] = 1;
    const column = place % width;
    if (column > 0) waiting.push(place - 1);
    if (column < width - 1) waiting.push(place + 1);
    if (place >= width) waiting.push(place - width);
    if (place < (height - 1) * width) waiting.push(place + width);
  }
  return region;
}

/** The sentence that says what lies at a pixel. */
export function pixelWords(truth: number, predicted: number, name: (index: number) => string): string {
  const called = name(predicted);
  switch (judge(truth, predicted)) {
    case "void":
      return `the network says ${called}; the pixel has no label, so it is not judged.`;
    case "background":
      return `the network says ${called}, and that is right.`;
    case "right":
      return `the network says ${called}, and that is right.`;
    case "missed":
      return `the network says ${called}, but ${name(truth)} is there: missed.`;
    case "invented":
      return `the network says ${called}, but only ${name(truth)} is there: invented.`;
    case "confused":
      return `the network says ${called}, but ${name(truth)} is there: confused.`;
  }
}

/** The error map as RGBA: what is not in question, or is hidden, fades into the page. */
export function errorMap(
  truth: Uint8Array,
  predicted: Uint8Array,
  only: number | null = null,
  hidden: ReadonlySet<Judgement> = new Set(),
): Uint8ClampedArray<ArrayBuffer> {
  const picture = new Uint8ClampedArray(4 * truth.length);
  const colours = JUDGEMENTS.map((name) => rgb(JUDGED[name].colour));
  const hides = JUDGEMENTS.map((name) => hidden.has(name));
  const asked = ofClass(truth, predicted, only);
  const judged = judgeAll(truth, predicted);
  for (let place = 0; place < truth.length; place += 1) {
    const dim = !asked[place] || hides[judged[place]];
    const colour = colours[dim ? 0 : judged[place]]; // what is dim looks like background
    for (let channel = 0; channel < 3; channel += 1) picture[4 * place + channel] = colour[channel];
    picture[4 * place + 3] = dim ? 70 : 255;
  }
  return picture;
}

/**
 * Classes in their colours over the grey image, `opacity` strong; background and void stay uncoloured.
 *
 * @param pixels (c, h, w) with 1 or 3 channels.
 */
export function classOverlay(
  pixels: Uint8Array,
  mask: Uint8Array,
  colourOf: (index: number) => string,
  opacity: number,
  only: number | null = null,
): Uint8ClampedArray<ArrayBuffer> {
  const size = mask.length;
  const grey = pixels.length < 3 * size;
  const picture = new Uint8ClampedArray(4 * size);
  const colours: Record<number, [number, number, number]> = {};
  for (let place = 0; place < size; place += 1) {
    const red = pixels[place];
    const green = grey ? red : pixels[size + place];
    const blue = grey ? red : pixels[2 * size + place];
    const value = mask[place];
    const covered = value !== 0 && value !== VOID && (only === null || value === only);
    const light = 0.299 * red + 0.587 * green + 0.114 * blue;
    const colour = covered ? (colours[value] ??= rgb(colourOf(value))) : null;
    picture[4 * place] = colour ? opacity * colour[0] + (1 - opacity) * light : red;
    picture[4 * place + 1] = colour ? opacity * colour[1] + (1 - opacity) * light : green;
    picture[4 * place + 2] = colour ? opacity * colour[2] + (1 - opacity) * light : blue;
    picture[4 * place + 3] = 255;
  }
  return picture;
}
