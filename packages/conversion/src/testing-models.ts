import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { referenceDevice, type Device } from "@transmla/kernels";
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
export const golden = (family: string) => filesOf(goldenPath(family));

/** A folder beside a test, likewise. */
export const goldenFolder = (url: URL): ModelFolder => filesOf(fileURLToPath(url));

const filesOf = (path: string) =>
  memoryFolder(
    new Map(
      readdirSync(path).map((name) => [name, new Uint8Array(readFileSync(`${path}/${name}`))]),
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

/** Logits of 70 tokens or those given, `[tokens, vocab]`. */
export async function logitsOf(
  files: ModelFiles,
  ids = tokens(70, 9),
  device: Device = referenceDevice(),
): Promise<Float32Array> {
  const model = await loadModel(files, device);
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

type Change = (name: string, values: Float32Array, columns: number) => void;

/** The golden llama (two key/value heads of eight) with changed tensors. */
export const changedLlama = (change: Change): Promise<ModelFolder> =>
  changedModel("llama", { change });

/** A golden model with changed tensors, more of them, and other fields of its config. */
export async function changedModel(
  family: string,
  {
    change = () => {},
    config = {},
    more = [],
  }: {
    readonly change?: Change;
    readonly config?: object;
    readonly more?: Iterable<readonly [name: string, tensor: TensorData]>;
  },
): Promise<ModelFolder> {
  const read = (name: string) => new Uint8Array(readFileSync(`${goldenPath(family)}/${name}`));
  const checkpoint = await openSafetensors(bytesSource(read("model.safetensors")));
  const tensors = new Map<string, TensorData>(more);
  for (const { name, shape } of checkpoint.tensors.values()) {
    const data = await checkpoint.read(name, { as: "f32" });
    change(name, data, shape.at(-1) as number);
    tensors.set(name, { shape, data });
  }
  const sink = memorySink();
  await writeSafetensors(sink, tensors);
  const fields = JSON.parse(new TextDecoder().decode(read("config.json"))) as object;
  return memoryFolder(
    new Map([
      ["config.json", new TextEncoder().encode(JSON.stringify({ ...fields, ...config }))],
      ["model.safetensors", sink.bytes()],
    ]),
  );
}

/** The code with which `attempt` is refused, "none" if it is not. */
export async function codeOf(attempt: () => unknown): Promise<string> {
  try {
    await attempt();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "none";
}
