// Compiles src/assembly to WebAssembly and writes it inline for the bundle: src/generated/simd.ts.
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = join(root, "src/generated/simd.ts");

let bytes;
const options = "--runtime stub --importMemory --enable simd --use abort= -O3 --noAssert";
const { error, stderr } = await asc.main(
  ["src/assembly/index.ts", "--baseDir", root, "--outFile", "simd.wasm", ...options.split(" ")],
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

// Tests may run while a build does: a reader sees the old file or the new one.
await mkdir(dirname(target), { recursive: true });
await writeFile(
  `${target}.tmp`,
  `/** Compiled from src/assembly by scripts/build-assembly.mjs. */\nexport const simd =\n  "${bytes.toString("base64")}";\n`,
);
await rename(`${target}.tmp`, target);
