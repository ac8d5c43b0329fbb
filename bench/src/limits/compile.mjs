import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import { cached } from "../cache.mjs";

/** Path of `assembly/limits.ts` compiled for one SIMD build; the memory is imported and shared. */
export async function limitsModule(simd) {
  const source = await readFile(new URL("../assembly/limits.ts", import.meta.url), "utf8");
  return cached(`limits-${simd}-${source.length}.wasm`, (path) => compile(simd, path));
}

async function compile(simd, path) {
  const baseDir = fileURLToPath(new URL("..", import.meta.url));
  const features = simd === "relaxed" ? " --enable relaxed-simd" : "";
  const options =
    "-O3 --noAssert --runtime stub --use abort= --enable simd --enable threads --importMemory " +
    `--sharedMemory --initialMemory 1 --maximumMemory 65536${features}`;
  const files = ["assembly/limits.ts", "--baseDir", baseDir, "--outFile", path];
  const { error, stderr } = await asc.main([...files, ...options.split(" ")]);
  if (error) throw new Error(stderr.toString());
}
