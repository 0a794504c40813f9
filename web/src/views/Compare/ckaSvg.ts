/** The heat map of two networks' layers as an SVG to keep. */
import type { Cka } from "../../api/types";
import { escapeXml } from "../../parts/download";
import { AMOUNT, colourAt, css } from "../../parts/scales";

const CELL = 22;
const LETTER = 7;

export function ckaSvg(
  { first, second, values, images }: Cka,
  firstName: string,
  secondName: string,
  colours: { ink: string; surface: string },
): string {
  const left = 24 + LETTER * Math.max(...first.map((name) => name.length), 6);
  const top = 66 + LETTER * Math.max(...second.map((name) => name.length), 6);
  const title = `CKA of the layers of ${firstName} (rows) and ${secondName} (columns), ${images} images`;
  const width = Math.max(left + second.length * CELL + 20, 20 + title.length * 7.5);
  const height = top + first.length * CELL + 20;
  const cells = values.flatMap((row, r) =>
    row.map((share, c) => {
      const tip = escapeXml(`${first[r]}, ${second[c]}: ${share.toFixed(3)}`);
      return `<rect x="${left + c * CELL}" y="${top + r * CELL}" width="${CELL - 1}" height="${CELL - 1}" fill="${css(colourAt(AMOUNT, share))}"><title>${tip}</title></rect>`;
    }),
  );
  const rows = first.map((name, r) => `<text x="${left - 8}" y="${top + r * CELL + 15}" text-anchor="end">${escapeXml(name)}</text>`);
  const columns = second.map((name, c) => {
    const x = left + c * CELL + 15;
    return `<text x="${x}" y="${top - 8}" transform="rotate(-90 ${x} ${top - 8})">${escapeXml(name)}</text>`;
  });
  const scale = Array.from({ length: 50 }, (_, k) => `<rect x="${40 + k * 2}" y="34" width="2.2" height="9" fill="${css(colourAt(AMOUNT, k / 49))}"/>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="${colours.ink}"><rect width="100%" height="100%" fill="${colours.surface}"/><text x="14" y="22" font-weight="600">${escapeXml(title)}</text><text x="26" y="43">0</text>${scale.join("")}<text x="146" y="43">1</text>${[...cells, ...rows, ...columns].join("")}</svg>`;
}
