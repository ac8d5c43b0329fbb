import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  bytesSource,
  memoryFolder,
  memorySink,
  openSafetensors,
  writeSafetensors,
  type TensorData,
} from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import type { LatentAttentionConfig } from "../config/model-config";
import { planSafetensorsExport } from "../export/safetensors";
import { openModel } from "../open-model";
import { fusedProjections } from "./layout";
import { UnfusedCheckpoint } from "./unfused-checkpoint";

const small: LatentAttentionConfig = {
  kind: "mla",
  heads: 2,
  frequencies: Float64Array.from([1, 0.5]),
  scale: 1,
  kvLoraRank: 3,
  ropeDim: 4,
  nopeDim: 2,
  valueDim: 1,
  keyUpHeads: 2,
  valueUpHeads: 2,
  latentBias: false,
  queryBias: false,
  outputBias: false,
};

/** Rows of every part by name. */
const rowsOf = (interleaved: boolean) =>
  Object.fromEntries(
    fusedProjections(small, interleaved).flatMap(({ parts }) =>
      parts.map(({ name, rows }) => [name, [...rows]]),
    ),
  );

describe("fusedProjections", () => {
  it("takes heads apart and makes adjacent pairs half-split", () => {
    expect(rowsOf(true)).toEqual({
      q_nope_proj: [0, 1, 6, 7],
      q_rope_proj: [2, 4, 3, 5, 8, 10, 9, 11],
      kv_a_proj: [0, 1, 2],
      k_rope_proj: [3, 5, 4, 6],
      k_b_proj: [0, 1, 3, 4],
      v_b_proj: [2, 5],
    });
    expect(rowsOf(false)).toMatchObject({ k_rope_proj: [3, 4, 5, 6] });
  });
});

const path = fileURLToPath(new URL("../../golden/deepseek-v3", import.meta.url));
const read = (name: string) => new Uint8Array(readFileSync(`${path}/${name}`));

describe("UnfusedCheckpoint", () => {
  it("reads any rows of a part as the whole part has them", async () => {
    const sink = memorySink();
    const fused = {
      shape: [6, 2],
      data: Float32Array.from({ length: 12 }, (_, i) => i),
    };
    await writeSafetensors(sink, new Map<string, TensorData>([["fused", fused]]));
    const inner = await openSafetensors(bytesSource(sink.bytes()));
    const parts = [
      { name: "a", rows: Int32Array.from([4, 0, 2]) },
      { name: "b", rows: Int32Array.from([1, 3, 5]) },
    ];
    const view = new UnfusedCheckpoint(inner, [{ name: "fused", shape: [6, 2], parts }]);
    expect([...view.tensors.keys()]).toEqual(["a", "b"]);
    expect(view.tensors.get("a")).toMatchObject({
      shape: [3, 2],
      byteLength: 24,
    });
    expect([...(await view.read("a", { as: "f32" }))]).toEqual([8, 9, 0, 1, 4, 5]);
    expect([...(await view.read("a", { as: "f32", rows: [1, 3] }))]).toEqual([0, 1, 4, 5]);
    expect([...(await view.read("b", { as: "f32", rows: [2, 3] }))]).toEqual([10, 11]);
  });
});

describe("a folder in the DeepSeek layout", () => {
  it("names a missing tensor as its file does", async () => {
    const name = "model.layers.1.self_attn.kv_b_proj.weight";
    const checkpoint = await openSafetensors(bytesSource(read("model.safetensors")));
    const tensors = new Map<string, TensorData>();
    for (const { name: tensor, shape } of checkpoint.tensors.values()) {
      if (tensor === name) continue;
      tensors.set(tensor, {
        shape,
        data: await checkpoint.read(tensor, { as: "f32" }),
      });
    }
    const sink = memorySink();
    await writeSafetensors(sink, tensors);
    const folder = memoryFolder(
      new Map([
        ["config.json", read("config.json")],
        ["model.safetensors", sink.bytes()],
      ]),
    );
    await expect(openModel(folder)).rejects.toThrow(
      expect.objectContaining({
        code: "MissingTensor",
        message: expect.stringContaining(name),
      }),
    );
  });

  it("is not exported again", async () => {
    const files = new Map(["config.json", "model.safetensors"].map((name) => [name, read(name)]));
    const opened = await openModel(memoryFolder(files));
    expect(() => planSafetensorsExport(opened)).toThrow(
      expect.objectContaining({ code: "UnsupportedModel" }),
    );
  });
});
