// Compiles src/assembly to WebAssembly, once for 128-bit SIMD and once with relaxed SIMD, and writes each build twice:
// inline for the bundle (src/cpu/generated/NAME.ts), and as a file that tsup.config.ts copies to dist (exported as
// "@transmla/kernels/NAME.wasm").
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const generated = "src/cpu/generated";
// The declared maximum is what lets the importer choose between shared and unshared memory (src/cpu/module.ts).
const common =
  "--runtime stub --importMemory --maximumMemory 65536 --enable simd --use abort= -O3 --noAssert";
const builds = { simd128: "", relaxed: " --enable relaxed-simd" };

for (const [name, features] of Object.entries(builds)) {
  const wasm = join(generated, `${name}.wasm`);
  const options = `--baseDir ${root} --outFile ${wasm} ${common}${features}`.split(" ");
  const { error, stderr } = await asc.main(["src/assembly/index.ts", ...options]);
  if (error) {
    process.stderr.write(stderr.toString());
    process.exit(1);
  }
  const base64 = (await readFile(join(root, wasm))).toString("base64");
  const text = `/** Compiled from src/assembly by scripts/build-assembly.mjs. */\nexport const ${name} =\n  "${base64}";\n`;
  await writeWhole(join(root, generated, `${name}.ts`), text);
}

/** Tests may run while a build does: a reader sees the old file or the new one. */
async function writeWhole(path, text) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.tmp`, text);
  await rename(`${path}.tmp`, path);
}
