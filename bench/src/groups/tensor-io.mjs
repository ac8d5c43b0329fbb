import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withContenders } from "../contender.mjs";
import { interleave } from "../measure.mjs";
import { safetensorsModel, shapeFor } from "../model/models.mjs";
import { weightBytes } from "../model/shape.mjs";
import { against, compare } from "../rows.mjs";

const group = "safetensors";

/** Reading and writing a file of the size of SmolLM2-135M, beside plain reads and writes of the same pieces. */
export async function tensorIo({ quick, progress }) {
  const path = await safetensorsModel(quick);
  const scratch = await mkdtemp(join(tmpdir(), "transmla-bench-"));
  const megabytes = quick ? 32 : 256;
  const spec = (name, more) => ({ module: "tensor-files", options: { name, path, ...more } });
  const target = (name) => join(scratch, name);
  const reading = { "ours read": spec("ours read"), "plain read": spec("plain read") };
  const writing = {
    "ours write": spec("ours write", { megabytes, target: target("a") }),
    "plain write": spec("plain write", { megabytes, target: target("b") }),
    "ours write, 4x": spec("ours write", { megabytes: 4 * megabytes, target: target("c") }),
  };
  try {
    const options = { repetitions: quick ? 3 : 7, progress };
    const reads = await withContenders(reading, (some) => interleave(some, {}, options));
    const writes = await withContenders(writing, (some) =>
      interleave(some, {}, { ...options, repetitions: 3 }),
    );
    return rowsOf(reads, writes, { megabytes, read: weightBytes(shapeFor(quick), 2) });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function rowsOf(reads, writes, { megabytes, read }) {
  const row = (results, verb, bytes) =>
    compare({
      group,
      name: `${verb} ${Math.round(bytes / 2 ** 20)} MiB`,
      ours: results.get(`ours ${verb}`),
      peer: results.get(`plain ${verb}`),
      peerName: `plain file ${verb}`,
      unit: "GB/s",
      value: (seconds) => bytes / seconds / 1e9,
      atLeast: 0.9,
    });
  const few = writes.get("ours write");
  const many = writes.get("ours write, 4x");
  return [
    row(reads, "read", read),
    row(writes, "write", megabytes * 2 ** 20),
    against({
      group,
      name: `peak memory of writing ${4 * megabytes} MiB`,
      ours: many.extra?.peak,
      limit: few.extra?.peak,
      limitName: `writing ${megabytes} MiB`,
      unit: "MiB",
      missing: many.missing ?? few.missing,
      atMost: 1.1,
    }),
  ];
}
