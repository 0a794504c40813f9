/** The first picture comes first: what it does not need waits until it is drawn. */

let settle: () => void;
let isGiven = false;

/** Settles once the first view is drawn, or shows that it will take a while. */
export const settled = new Promise<void>((resolve) => (settle = resolve));

/** Let wait no longer what waits for the first picture. */
export function settleNow(): void {
  settle();
}

/** The first picture has been given to the browser: what waits goes on once it is on the screen. */
export function settleSoon(): void {
  if (isGiven) return;
  isGiven = true;
  requestAnimationFrame(() => setTimeout(settle));
}
