import { homedir } from "node:os";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { convert, planConversion } from "@transmla/conversion";
import { cpuDevice } from "@transmla/kernels";
import { openModel } from "@transmla/models";
import { fileSource, folder } from "@transmla/tensor-io";
import { cached } from "../cache.mjs";
import { randomTokens } from "../random.mjs";
import { smollm2, tiny } from "./shape.mjs";
import { writeGguf } from "./write-gguf.mjs";
import { writeSafetensorsModel } from "./write-safetensors.mjs";

export const shapeFor = (quick) => (quick ? tiny : smollm2);
const label = (quick) => (quick ? "tiny" : "smollm2-135m");

/** The random-weight model as a folder of safetensors, made once. */
export function safetensorsModel(quick) {
  return cached(`${label(quick)}-bf16`, (path) => writeSafetensorsModel(shapeFor(quick), path));
}

/** A random-weight model of any shape. */
export function shapedModel(shape) {
  const { layers, hidden, vocabulary } = shape;
  return cached(`random-${layers}x${hidden}-${vocabulary}`, (path) =>
    writeSafetensorsModel(shape, path),
  );
}

/** The weights of `safetensorsModel` as GGUF, `type` "F32", "F16" or "Q8_0". */
export function ggufModel(quick, type) {
  return cached(`${label(quick)}-${type}.gguf`, (path) => writeGguf(shapeFor(quick), type, path));
}

/** The real SmolLM2-135M as GGUF: `TRANSMLA_SMOLLM2`, or where the project's scripts keep it; undefined without it. */
export function realModel() {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const usual = join(cache, "transmla/models/SmolLM2-135M-Instruct.Q4_1.gguf");
  const path = process.env["TRANSMLA_SMOLLM2"] ?? usual;
  return existsSync(path) ? path : undefined;
}

/**
 * SmolLM2-135M converted by TransMLA to keep a part of its cache, in bf16: the real one if it is there, else the one of random
 * weights. Calibration is short, for speed does not depend on how well the conversion fits.
 */
export function convertedModel(quick, keep) {
  const real = quick ? undefined : realModel();
  const name = `${real ? "smollm2-135m-real" : label(quick)}-keep-${keep}`;
  return cached(name, async (output) => {
    const files = await openModel(
      real ? await fileSource(real) : folder(await safetensorsModel(quick)),
    );
    const device = await cpuDevice();
    const plan = planConversion(files, { method: "transmla", keep, dtype: "bf16" });
    const { vocabSize } = files.config;
    const calibration = Array.from({ length: 4 }, (_, i) => randomTokens(128, i, vocabSize));
    await convert(plan, { device, calibration, output: folder(output) });
    device.destroy();
    await files.close();
  });
}
