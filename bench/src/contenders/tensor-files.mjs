import { mkdir, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import {
  fileSink,
  openSafetensorsFolder,
  folder,
  planSafetensors,
  TensorWriter,
} from "@transmla/tensor-io";
import { expectClose } from "./incorrect.mjs";

const PIECE = 8 << 20;

/**
 * Whole files through `@transmla/tensor-io` or through plain `node:fs` in pieces of the same size. Files stay in the system's
 * cache, so that the disk does not hide what the format costs. `name` is "ours read", "plain read" and so on.
 */
export async function start({ name, path, megabytes, target }) {
  const tasks = {
    "ours read": () => readTensors(path),
    "plain read": () => readPlain(path),
    "ours write": () => writeTensors(target, megabytes),
    "plain write": () => writePlain(target, megabytes),
  };
  if (name === "ours write") await checkRoundTrip(target);
  return {
    facts: {},
    run: async () => {
      const started = performance.now();
      await tasks[name]();
      const seconds = (performance.now() - started) / 1e3;
      const peak = process.resourceUsage().maxRSS / 1024;
      if (target) await rm(target, { force: true });
      return { seconds, peak };
    },
  };
}

/** Every tensor as the bytes it has in the file, large ones in pieces of rows. */
async function readTensors(path) {
  const checkpoint = await openSafetensorsFolder(folder(path));
  for (const [name, { shape, byteLength }] of checkpoint.tensors) {
    const rows = shape[0];
    const step = Math.max(1, Math.floor((PIECE * rows) / byteLength));
    for (let row = 0; row < rows; row += step) {
      await checkpoint.readBytes(name, { rows: [row, Math.min(rows, row + step)] });
    }
  }
  await checkpoint.close();
}

async function readPlain(path) {
  const file = await open(`${path}/model.safetensors`);
  const { size } = await file.stat();
  for (let at = 0; at < size; at += PIECE) {
    const bytes = new Uint8Array(Math.min(PIECE, size - at));
    await file.read(bytes, 0, bytes.length, at);
  }
  await file.close();
}

/** Tensors of 8 MiB, so that both writers are given pieces of one size. */
async function writeTensors(path, megabytes) {
  const names = Array.from({ length: megabytes / 8 }, (_, i) => `tensor.${i}`);
  const plan = planSafetensors(names.map((name) => ({ name, dtype: "BF16", shape: [PIECE / 2] })));
  const writer = new TensorWriter(fileSink(path), plan);
  for (const name of names) await writer.write(name, new Uint8Array(PIECE).fill(1));
  await writer.finish();
}

async function writePlain(path, megabytes) {
  const file = await open(path, "w");
  for (let i = 0; i < megabytes / 8; i++) await file.write(new Uint8Array(PIECE).fill(1));
  await file.sync();
  await file.close();
}

async function checkRoundTrip(path) {
  const values = Float32Array.from({ length: 12 }, (_, i) => i - 5.5);
  const file = `${dirname(path)}/round-trip/model.safetensors`;
  await mkdir(dirname(file), { recursive: true });
  const plan = planSafetensors([{ name: "x", dtype: "F32", shape: [3, 4] }]);
  const writer = new TensorWriter(fileSink(file), plan);
  await writer.write("x", new Uint8Array(values.buffer));
  await writer.finish();
  const checkpoint = await openSafetensorsFolder(folder(dirname(file)));
  expectClose("safetensors round trip", await checkpoint.read("x", { as: "f32" }), values, 0);
  await checkpoint.close();
  await rm(dirname(file), { recursive: true });
}
