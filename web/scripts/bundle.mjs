// Checks the built page: a second build is the same, the committed one is this source's, and the first load is small.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** Bytes, compressed, of what the page loads before a view is chosen, and of its largest view. */
const MOST = 350_000;
const committed = new URL("../../src/glassnet/explorer/static/", import.meta.url).pathname;
const built = mkdtempSync(join(tmpdir(), "glassnet-page-"));

function contents(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  return new Map(files.map((one) => join(one.parentPath, one.name)).sort().map((file) => [file.slice(folder.length).replace(/^\//, ""), readFileSync(file)]));
}

function fail(sentence) {
  console.error(sentence);
  process.exitCode = 1;
}

try {
  execFileSync("npx", ["vite", "build", "--outDir", built, "--emptyOutDir", "--logLevel", "error"], { stdio: "inherit" });
  const page = contents(built);
  const old = existsSync(committed) ? contents(committed) : new Map();
  const other = [...new Set([...page.keys(), ...old.keys()])].filter((name) => !page.get(name)?.equals(old.get(name) ?? Buffer.alloc(0)));
  if (other.length) fail(`src/glassnet/explorer/static is not what web/ builds (${other.slice(0, 4).join(", ")}): run \`make web\` and commit it.`);

  const html = page.get("index.html").toString();
  if (/<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son\w+=/.test(html)) fail("index.html has an inline script or style, which the page's Content-Security-Policy forbids.");
  const outside = [...page].filter(([name, data]) => /\.(js|css|html)$/.test(name) && /(?:src|href|url\(|import\(|fetch\()\s*=?\s*["'`(]?https?:\/\//.test(data.toString()));
  if (outside.length) fail(`${outside.map(([name]) => name).join(", ")} ask another host for something.`);

  const first = [...html.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, name]) => name);
  const views = [...page.keys()].filter((name) => /\.(js|css)$/.test(name) && !first.includes(name));
  const size = (names) => names.reduce((sum, name) => sum + gzipSync(page.get(name), { level: 9 }).length, 0);
  const all = size([...first, "index.html"]) + size(views);
  console.log(`The page is ${Math.round(size([...first, "index.html"]) / 1000)} kB compressed at first, ${Math.round(all / 1000)} kB with all views.`);
  if (all > MOST) fail(`The page with its views is ${Math.round(all / 1000)} kB compressed, at most ${MOST / 1000} kB are allowed: leave something out.`);
} finally {
  rmSync(built, { recursive: true, force: true });
}
