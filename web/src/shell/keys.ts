/** Keys that hold in every view. */
import type { ViewName } from "../api/types";
import { app, NO_FILTERS } from "../state/app.svelte";

export type Key = { keys: string[]; does: string };

/** What the overlay says; a view's own keys are `viewKeys`. */
export const KEYS: Key[] = [
  { keys: ["?"], does: "this help" },
  { keys: ["1", "…", "9"], does: "open the first, second, … view in the list" },
  { keys: ["j", "k"], does: "next and previous image (in the selection, or among the filtered images)" },
  { keys: ["/"], does: "search" },
  { keys: ["f"], does: "clear the filters" },
  { keys: ["Esc"], does: "clear the selection; close what is open" },
  { keys: ["d"], does: "switch the theme: light, dark, system" },
];

export const VIEW_KEYS: Partial<Record<ViewName, Key[]>> = {
  training: [{ keys: ["←", "→"], does: "read a chart's values epoch by epoch while it has the focus" }],
  segmentation: [
    { keys: ["←", "→", "↑", "↓"], does: "choose a pixel while a picture has the focus; Shift moves 8 pixels at once" },
    { keys: ["Enter"], does: "explain the region of that pixel" },
  ],
  reconstruction: [{ keys: ["←", "→"], does: "change a latent dimension while its slider has the focus" }],
  compare: [{ keys: ["←", "→", "↑", "↓"], does: "move through the heat map of the layers while a cell has the focus" }],
  image: [{ keys: ["←", "→"], does: "previous and next layer of the maps" }],
  edit: [
    { keys: ["z", "y"], does: "undo and redo" },
    { keys: ["[", "]"], does: "smaller and larger brush" },
    { keys: ["←", "→", "↑", "↓"], does: "move the brush while the drawing has the focus; Shift moves it farther" },
    { keys: ["Space"], does: "paint at the brush" },
  ],
  mistakes: [{ keys: ["←", "→", "↑", "↓"], does: "move from cell to cell while the matrix has the focus; Enter opens a cell" }],
  embedding: [
    { keys: ["←", "→"], does: "previous and next layer while the plot has the focus" },
    { keys: ["+", "−", "0"], does: "zoom in, zoom out, show all points" },
    { keys: ["l", "b", "m"], does: "lasso, box, move" },
    { keys: ["Shift"], does: "hold while dragging to use the lasso; hold with lasso or box to add to the selection" },
  ],
};

export function onKey(event: KeyboardEvent, openHelp: () => void): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target as HTMLElement;
  if (target.closest("input:not([type=range]):not([type=radio]):not([type=checkbox]), textarea, select, dialog")) return;
  const action = ACTIONS[event.key];
  const digit = /^[1-9]$/.test(event.key) ? app.summary?.views[Number(event.key) - 1] : undefined;
  if (event.key === "?") openHelp();
  else if (digit) app.go(digit);
  else if (action) action();
  else return;
  event.preventDefault();
}

const ACTIONS: Record<string, () => void> = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => document.querySelector<HTMLElement>('input[type="search"]')?.focus(),
  f: () => app.filter(NO_FILTERS),
  Escape: () => app.selection.size > 0 && app.select([]),
  d: () => (app.theme = app.theme === "auto" ? "dark" : app.theme === "dark" ? "light" : "auto"),
};

/** Look at the next image of the selection, else of those that pass the filters. */
export function step(by: 1 | -1): void {
  const { numbers, visible, selection, focus } = app;
  if (!numbers.length) return;
  const wanted = (k: number) => (selection.size ? selection.has(numbers[k]) : visible[k] === 1);
  const start = focus === null ? -1 : app.placeOf(focus);
  for (let n = 1; n <= numbers.length; n++) {
    const k = (((start < 0 && by < 0 ? 0 : start) + by * n) % numbers.length + numbers.length) % numbers.length;
    if (wanted(k)) return app.look(numbers[k]);
  }
}
