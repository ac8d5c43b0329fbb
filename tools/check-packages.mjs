/**
 * Checks every publishable package as npm would pack it: publint (exports, files, formats) and Are The Types Wrong (types
 * under every module resolution). Needs a build. Exits 1 when a check fails.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folders = ["packages", "apps"].flatMap((parent) =>
  readdirSync(parent).map((name) => join(parent, name)),
);
const packed = mkdtempSync(join(tmpdir(), "transmla-pack-"));
let failures = 0;

for (const folder of folders) {
  const {
    name,
    private: unpublished,
    exports,
  } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  if (unpublished) continue;
  const output = execFileSync("npm", ["pack", "--json", "--pack-destination", packed], {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [{ filename, size }] = JSON.parse(output);
  const tarball = join(packed, filename);
  check(name, "publint", ["publint", tarball, "--strict"]);
  // A package with only a command has no types to get wrong.
  if (exports) {
    // Binary subpaths have no types either; Node 10 resolution knows no subpaths at all.
    const binaries = Object.keys(exports).filter((path) => path.endsWith(".wasm"));
    const excluded = binaries.length > 0 ? ["--exclude-entrypoints", ...binaries] : [];
    check(name, "attw", ["attw", tarball, "--no-color", "--profile", "node16", ...excluded]);
  }
  console.log(`${name}: ${(size / 1024).toFixed(0)} KiB packed`);
}
rmSync(packed, { recursive: true });
process.exitCode = failures > 0 ? 1 : 0;

function check(name, tool, command) {
  const { status, stdout, stderr } = spawnSync("npx", ["--no-install", ...command], {
    encoding: "utf8",
  });
  if (status === 0) return;
  failures++;
  console.error(`${name}: ${tool} failed\n${stdout}${stderr}`);
}
