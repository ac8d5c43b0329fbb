// Compiles src/assembly to WebAssembly, once for 128-bit SIMD and once with relaxed SIMD, and writes both inline for the bundle:
// src/generated/simd.ts.
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = join(root, "src/generated/simd.ts");

/** Some browsers refuse to compile more than this synchronously on their main thread. */
const MOST_BYTES = 4096;
const builds = { simd128: "", relaxed: "--enable relaxed-simd" };

let text = "/** Compiled from src/assembly by scripts/build-assembly.mjs. */\n";
for (const [name, features] of Object.entries(builds)) {
  const bytes = await compile(features);
  text += `export const ${name} =\n  "${bytes.toString("base64")}";\n`;
}

async function compile(features) {
  let bytes;
  const options = `--runtime stub --importMemory --enable simd ${features} --use abort= -O3 --noAssert`;
  const { error, stderr } = await asc.main(
    ["src/assembly/index.ts", "--baseDir", root, "--outFile", "simd.wasm", ...options.split(/ +/)],
    {
      writeFile: (_, contents) => {
        bytes = Buffer.from(contents);
      },
    },
  );
  if (error) {
    process.stderr.write(stderr.toString());
    process.exit(1);
  }
  if (bytes.length > MOST_BYTES)
    throw new Error(`${bytes.length} bytes are too many to compile at once`);
  return bytes;
}

// Tests may run while a build does: a reader sees the old file or the new one.
await mkdir(dirname(target), { recursive: true });
await writeFile(`${target}.tmp`, text);
await rename(`${target}.tmp`, target);
