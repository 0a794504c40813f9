/// <reference types="vitest/config" />
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/** `npm run dev` sends what the server answers to a running `glassnet explore --port 8700`. */
const server = process.env.GLASSNET_SERVER ?? "http://127.0.0.1:8700";
const token = process.env.GLASSNET_TOKEN ?? "";

export default defineConfig({
  base: "./",
  plugins: [svelte()],
  build: {
    outDir: "../src/glassnet/explorer/static",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    port: 5173,
    proxy: {
      "/api": { target: server, changeOrigin: true, headers: { Origin: server, Authorization: `token ${token}` } },
    },
  },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
