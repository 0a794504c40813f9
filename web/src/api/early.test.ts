import { afterEach, expect, it, vi } from "vitest";

import { sendEarly, takeEarly } from "./early";

afterEach(() => vi.unstubAllGlobals());

it("a request is sent once, and its answer given once", async () => {
  const fetch = vi.fn(async () => new Response("there"));
  vi.stubGlobal("fetch", fetch);
  sendEarly("api/session", {});
  sendEarly("api/session", {});
  expect(fetch).toHaveBeenCalledTimes(1);
  expect(await (await takeEarly("api/session"))!.text()).toBe("there");
  expect(takeEarly("api/session")).toBeNull();
});

it("an answer that nobody asked for in time is asked for anew", () => {
  vi.stubGlobal("fetch", async () => new Response("there"));
  const now = vi.spyOn(performance, "now").mockReturnValue(0);
  sendEarly("api/session", {});
  now.mockReturnValue(11_000);
  expect(takeEarly("api/session")).toBeNull();
  now.mockRestore();
});
