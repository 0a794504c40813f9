/** What the part of the view that is open can save. */
export interface Exports {
  png?: () => Promise<Blob>;
  csv?: () => string;
}
