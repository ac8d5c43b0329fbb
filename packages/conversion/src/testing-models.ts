import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { referenceDevice } from "@transmla/kernels";
import { loadModel, openModel, type ModelFiles } from "@transmla/models";
import {
  bytesSource,
  memoryFolder,
  memorySink,
  openSafetensors,
  writeSafetensors,
  type ModelFolder,
  type TensorData,
} from "@transmla/tensor-io";
import { convert } from "./convert";
import type { ConversionOptions } from "./options";
import { planConversion } from "./plan";

const goldenPath = (family: string) =>
  fileURLToPath(new URL(`../../models/golden/${family}`, import.meta.url));
/** A tiny model of `@transmla/models`, its files in memory, so that nothing stays open. */
export const golden = (family: string) =>
  memoryFolder(
    new Map(
      readdirSync(goldenPath(family)).map((name) => [
        name,
        new Uint8Array(readFileSync(`${goldenPath(family)}/${name}`)),
      ]),
    ),
  );

/** Token ids without structure, 0 … 95: enough to exercise every weight. */
export function tokens(count: number, seed: number): Int32Array {
  let state = seed;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % 96;
  });
}

/** Calibration sequences of the tiny models. */
export const calibration = [1, 2, 3, 4].map((seed) => tokens(32, seed));

/** Logits of 70 tokens, `[70, vocab]`. */
export async function logitsOf(files: ModelFiles): Promise<Float32Array> {
  const device = referenceDevice();
  const model = await loadModel(files, device);
  const ids = tokens(70, 9);
  const cache = model.createCache({ capacity: ids.length });
  const logits = model.forward(cache, [{ sequence: cache.open(), tokens: ids }], "all");
  return device.read(logits);
}

/** Converts in memory on the reference device. */
export async function converted(
  source: ModelFolder,
  options: ConversionOptions,
  sequences: readonly Int32Array[] = calibration,
) {
  const files = await openModel(source);
  const contents = new Map<string, Uint8Array>();
  const output = memoryFolder(contents, "output");
  const plan = planConversion(files, options);
  const device = referenceDevice();
  const report = await convert(plan, { device, calibration: sequences, output });
  return { files, plan, report, contents, latent: await openModel(output) };
}

export function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i])), 0);
}

/** The golden llama (two key/value heads of eight) with changed tensors. */
export async function changedLlama(
  change: (name: string, values: Float32Array, columns: number) => void,
): Promise<ModelFolder> {
  const read = (name: string) => new Uint8Array(readFileSync(`${goldenPath("llama")}/${name}`));
  const checkpoint = await openSafetensors(bytesSource(read("model.safetensors")));
  const tensors = new Map<string, TensorData>();
  for (const { name, shape } of checkpoint.tensors.values()) {
    const data = await checkpoint.read(name, { as: "f32" });
    change(name, data, shape.at(-1) as number);
    tensors.set(name, { shape, data });
  }
  const sink = memorySink();
  await writeSafetensors(sink, tensors);
  return memoryFolder(
    new Map([
      ["config.json", read("config.json")],
      ["model.safetensors", sink.bytes()],
    ]),
  );
}
