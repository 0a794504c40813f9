/** Where a thumbnail lies in the atlas. */
import type { Atlas } from "../api/types";

export type Tile = { page: number; column: number; row: number };

/** The tile of the k-th image of the part's order. */
export function tileOf(atlas: Atlas, place: number): Tile {
  const at = place % atlas.per_page;
  return { page: Math.floor(place / atlas.per_page), column: at % atlas.columns, row: Math.floor(at / atlas.columns) };
}
