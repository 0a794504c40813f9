/** Requests that are sent before they are asked for, so that they do not wait for one another. */

/** After this time an answer that nobody has asked for is of no use (ms). */
const STALE = 10_000;
const sent = new Map<string, { answer: Promise<Response>; at: number }>();

/** Send a request at once; whoever asks for the same address next gets its answer. */
export function sendEarly(address: string, headers: HeadersInit): void {
  const known = sent.get(address);
  if (known && performance.now() - known.at < STALE) return;
  const answer = fetch(address, { headers });
  answer.catch(() => undefined); // Whoever asks hears of it.
  sent.set(address, { answer, at: performance.now() });
}

/** The answer that is on its way, once; null where there is none. */
export function takeEarly(address: string): Promise<Response> | null {
  const known = sent.get(address);
  sent.delete(address);
  return known && performance.now() - known.at < STALE ? known.answer : null;
}
