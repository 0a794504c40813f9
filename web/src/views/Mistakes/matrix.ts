/** The confusion matrix as a vector picture that can be understood alone. */

import { escapeXml } from "../../parts/download";
import type { Confusion } from "./confusion";

export interface Cell {
  truth: number;
  answer: number;
  count: number;
  /** Of the images of the true class; 0 where it has none. */
  share: number;
  /** How strongly the cell is coloured, in [0, 1]: a mistake by its share of the largest one, a hit by its own share. */
  strength: number;
}

/** The cells of these classes, row by row. */
export function cellsOf(table: Confusion, classes: number[]): Cell[] {
  const cells = classes.flatMap((truth) =>
    classes.map((answer) => {
      const count = table.counts[truth * table.classes + answer];
      return { truth, answer, count, share: table.rows[truth] ? count / table.rows[truth] : 0, strength: 0 };
    }),
  );
  const most = Math.max(0, ...cells.filter((cell) => cell.truth !== cell.answer).map((cell) => cell.share));
  const strength = ({ truth, answer, share }: Cell) => (truth === answer ? share : most > 0 ? Math.sqrt(share / most) : 0);
  return cells.map((cell) => ({ ...cell, strength: strength(cell) }));
}

/** What a cell says: its count, or its share of the true class; nothing where it is empty. */
export function cellText(cell: Cell, shares: boolean): string {
  if (!cell.count) return "";
  if (!shares) return String(cell.count);
  const percent = 100 * cell.share;
  return percent < 0.1 ? "<0.1" : percent < 10 ? percent.toFixed(1) : percent.toFixed(0);
}

const SIDE = 44;

/** The matrix as SVG. */
export function matrixSvg(cells: Cell[], classes: number[], names: string[], shares: boolean, title: string): string {
  const size = classes.length * SIDE;
  const short = (index: number) => shortened(names[index] ?? String(index));
  const longest = Math.max(...classes.map((index) => short(index).length));
  const [left, top] = [24 + 8 * longest, 62 + 7 * longest];
  const [width, height] = [Math.max(left + size + 20, 480), top + size + 20];
  const name = (index: number) => escapeXml(short(index));
  const middle = (k: number) => k * SIDE + SIDE / 2;
  const rows = classes.map((index, k) => `<text x="${left - 8}" y="${top + middle(k) + 4}" text-anchor="end">${name(index)}</text>`);
  const columns = classes.map((index, k) => `<text transform="translate(${left + middle(k) - (longest > 3 ? -4 : 0)} ${top - 8}) rotate(${longest > 3 ? -60 : 0})"${longest > 3 ? "" : ' text-anchor="middle"'}>${name(index)}</text>`);
  const squares = cells.map((cell, k) => square(cell, left + (k % classes.length) * SIDE, top + Math.floor(k / classes.length) * SIDE, shares));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#1b1f27">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    `<text x="10" y="20" font-weight="bold">${escapeXml(title)}</text>`,
    `<text x="10" y="38" fill="#5b6270">Rows: true class. Columns: predicted class. ${shares ? "Percent of the true class." : "Number of images."}</text>`,
    ...rows,
    ...columns,
    ...squares,
    "</svg>",
  ].join("\n");
}

function square(cell: Cell, x: number, y: number, shares: boolean): string {
  const colour = cell.truth === cell.answer ? "#1b7a50" : "#b5400a";
  const box = `<rect x="${x}" y="${y}" width="${SIDE}" height="${SIDE}" fill="${colour}" fill-opacity="${(0.45 * cell.strength).toFixed(3)}" stroke="#dfe2e8"/>`;
  return `${box}<text x="${x + SIDE / 2}" y="${y + SIDE / 2 + 4}" text-anchor="middle">${cellText(cell, shares)}</text>`;
}

function shortened(name: string): string {
  return name.length > 16 ? `${name.slice(0, 15)}…` : name;
}
