/** An image of the user's own: it lives in this page only, and is gone after a reload. */

import type { NdArray } from "../api/client";
import type { ReadMeta } from "../api/types";

export interface OwnImage {
  /** Subject whose model it was read for. */
  subject: string;
  name: string;
  /** (channels, height, width), uint8, as the model takes it. */
  pixels: NdArray;
  meta: ReadMeta;
}

class Own {
  private image = $state.raw<OwnImage | null>(null);
  /** Whether the image view shows it, rather than the focused image of the data. */
  active = $state(false);

  /** The own image, if there is one that was read for this subject. */
  of(subject: string | undefined): OwnImage | null {
    return this.image?.subject === subject ? this.image : null;
  }

  set(image: OwnImage): void {
    this.image = image;
    this.active = true;
  }

  /** Swaps dark and light: digits may be black on white where the model knows white on black. */
  invert(): void {
    if (!this.image) return;
    const { data, shape } = this.image.pixels;
    this.set({ ...this.image, pixels: { data: Uint8Array.from(data, (value) => 255 - value), shape } });
  }

  clear(): void {
    this.image = null;
    this.active = false;
  }
}

export const own = new Own();
