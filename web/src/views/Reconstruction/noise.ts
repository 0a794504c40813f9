/** Noise and codes in words, and as they stand in the address. */

const percents = (amounts: number[]) => `${amounts.map((amount) => Math.round(100 * amount)).join(" to ")} %`;

/** What the amount of each kind of noise is; two are the least and the most, and each image has its own. */
const KINDS: Record<string, (amounts: number[]) => string> = {
  gaussian: (amounts) => `Gaussian, standard deviation ${amounts.join(" to ")}`,
  saltpepper: (amounts) => `salt and pepper on ${percents(amounts)} of the pixels`,
  mask: (amounts) => `${percents(amounts)} of the pixels are masked`,
};

/** "gaussian:0.3" is "Gaussian, standard deviation 0.3"; "gaussian:0.02-0.5" has 0.02 to 0.5. */
export function noiseWords(noise: string): string {
  if (noise === "none" || noise === "") return "none";
  const [kind, amount] = noise.split(":");
  return KINDS[kind]?.((amount ?? "").split(/(?<!e)-/).map(Number)) ?? noise;
}

/** "3:1.25,7:-0.4": number 3 of the code is 1.25, number 7 is −0.4. */
export function readChanges(text: string | null, length: number): Map<number, number> {
  const changes = new Map<number, number>();
  for (const piece of (text ?? "").split(",")) {
    const [place, value] = piece.split(":").map(Number);
    if (piece.includes(":") && Number.isInteger(place) && place >= 0 && place < length && Number.isFinite(value)) changes.set(place, value);
  }
  return changes;
}

export function writeChanges(changes: ReadonlyMap<number, number>): string | null {
  return changes.size ? [...changes].map(([place, value]) => `${place}:${Number(value.toPrecision(4))}`).join(",") : null;
}

/** The ends of a slider: those of the codes of all images, wide enough for this image's own value. */
export function sliderEnds(low: number, high: number, own: number): [number, number] {
  const margin = (high - low) * 0.15 || 1;
  return [Math.min(low - margin, own), Math.max(high + margin, own)];
}
