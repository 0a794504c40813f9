import { afterEach, describe, expect, it, vi } from "vitest";

import { fetchExported, isIncluded, layersIn, offeredIn } from "./exported";

afterEach(() => vi.unstubAllGlobals());

describe("what an export has", () => {
  it("is everything where a server answers", () => {
    expect(isIncluded("/subjects/a/latents")).toBe(true);
    expect(offeredIn("/subjects/a/maps/3", "layers", ["conv1", "relu1"])).toEqual(["conv1", "relu1"]);
  });

  it("is what its index lists, whatever the order of the parameters", async () => {
    const entry = { file: "1.bin", type: "text/plain", arrays: null, meta: null };
    const index = {
      "GET /subjects/a/maps/3?layers=conv1&part=test": entry,
      "GET /subjects/a/embedding?dims=2&layer=fc1&method=pca": entry,
      "GET /subjects/a/neighbours/3?count=24&layer=conv1": entry,
    };
    vi.stubGlobal("document", { querySelector: () => ({ getAttribute: () => "data/" }) });
    vi.stubGlobal("fetch", async () => new Response(JSON.stringify(index)));
    await fetchExported("GET", "/subjects/a/maps/3", { part: "test", layers: "conv1", wait: 0.5 });
    expect(isIncluded("/subjects/a/maps/3", { part: "test", layers: "conv1" })).toBe(true);
    expect(isIncluded("/subjects/a/maps/4", { part: "test", layers: "conv1" })).toBe(false);
    const layers = [{ name: "conv1" }, { name: "fc1" }];
    expect(layersIn("/subjects/a/embedding", layers)).toEqual([{ name: "fc1" }]);
    expect(layersIn("/subjects/a/neighbours/", layers)).toEqual([{ name: "conv1" }]);
    expect(offeredIn("/subjects/a/maps/3", "layers", ["conv1", "relu1", "fc1"])).toEqual(["conv1"]);
    expect(offeredIn("/subjects/a/maps/3", "methods", ["gradcam"])).toEqual(["gradcam"]); // Nothing is known of them.
    await expect(fetchExported("POST", "/subjects/a/decode", {})).rejects.toThrow("Decoding is not part of this export");
  });
});
