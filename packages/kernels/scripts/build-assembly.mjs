// Compiles src/assembly to WebAssembly and writes it twice: inline for the bundle (src/cpu/generated/simd128.ts), and as a
// file that tsup.config.ts copies to dist (exported as "@transmla/kernels/simd128.wasm").
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const wasmPath = "src/cpu/generated/simd128.wasm";
const generatedPath = join(root, "src/cpu/generated/simd128.ts");

const options = `--runtime stub --importMemory --enable simd --use abort= -O3 --noAssert`.split(
  " ",
);
const { error, stderr } = await asc.main([
  "src/assembly/index.ts",
  "--baseDir",
  root,
  "--outFile",
  wasmPath,
  ...options,
]);
if (error) {
  process.stderr.write(stderr.toString());
  process.exit(1);
}

const bytes = await readFile(join(root, wasmPath));
await writeWhole(
  generatedPath,
  `/** Compiled from src/assembly by scripts/build-assembly.mjs. */\nexport const simd128 =\n  "${bytes.toString("base64")}";\n`,
);

/** Tests may run while a build does: a reader sees the old file or the new one. */
async function writeWhole(path, text) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.tmp`, text);
  await rename(`${path}.tmp`, path);
}
