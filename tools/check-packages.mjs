/**
 * Checks every publishable package as npm would pack it: publint (exports, files, formats) and Are The Types Wrong (types
 * under every module resolution). Needs a build. Exits 1 when a check fails.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packPackages, publishedPackages } from "./packed/packages.mjs";

const packages = publishedPackages();
const folder = mkdtempSync(join(tmpdir(), "transmla-pack-"));
const packed = await packPackages(
  packages.map(({ name }) => name),
  folder,
);
let failures = 0;

for (const { name, tarball, size } of packed) {
  const { exports } = packages.find((one) => one.name === name).manifest;
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
rmSync(folder, { recursive: true });
process.exitCode = failures > 0 ? 1 : 0;

function check(name, tool, command) {
  const { status, stdout, stderr } = spawnSync("npx", ["--no-install", ...command], {
    encoding: "utf8",
  });
  if (status === 0) return;
  failures++;
  console.error(`${name}: ${tool} failed\n${stdout}${stderr}`);
}
