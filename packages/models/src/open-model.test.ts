import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  bytesSource,
  fileSource,
  folder,
  memoryFolder,
  memorySink,
  openSafetensors,
  writeSafetensors,
  type ByteSource,
  type ModelFolder,
  type TensorData,
} from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import { openModel } from "./open-model";

const path = fileURLToPath(new URL("../golden/llama", import.meta.url));
const read = (name: string) => new Uint8Array(readFileSync(`${path}/${name}`));

async function codeOf(source: ModelFolder): Promise<string> {
  try {
    await (await openModel(source)).close();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "none";
}

/** The golden llama with some of its tensors replaced, removed (undefined) or added. */
async function changed(
  changes: Readonly<Record<string, TensorData | undefined>>,
): Promise<ModelFolder> {
  const checkpoint = await openSafetensors(bytesSource(read("model.safetensors")));
  const tensors = new Map<string, TensorData>();
  for (const { name, shape } of checkpoint.tensors.values()) {
    tensors.set(name, { shape, data: await checkpoint.read(name, { as: "f32" }) });
  }
  for (const [name, data] of Object.entries(changes)) {
    if (data) tensors.set(name, data);
    else tensors.delete(name);
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

describe("openModel", () => {
  it("opens a folder and reads headers only", async () => {
    const opened: string[] = [];
    const inner = folder(path);
    let bytes = 0;
    const counting: ModelFolder = {
      ...inner,
      async open(name) {
        const source = await inner.open(name);
        opened.push(name);
        return {
          name: source.name,
          size: source.size,
          close: () => source.close(),
          read(offset, length, signal) {
            bytes += length;
            return source.read(offset, length, signal);
          },
        };
      },
    };
    const files = await openModel(counting);
    expect(opened).toEqual(["config.json", "model.safetensors"]);
    expect(bytes).toBeLessThan(8000);
    expect(files.config.family).toBe("llama");
    await files.close();
  });

  it("refuses a folder without config", async () => {
    expect(
      await codeOf(memoryFolder(new Map([["model.safetensors", read("model.safetensors")]]))),
    ).toBe("MissingConfig");
  });

  it.each([
    ["{", "JsonSyntax"],
    ["[]", "InvalidConfig"],
    ['{"model_type":"llama","model_type":"llama"}', "JsonDuplicateKey"],
    ["{}", "InvalidConfig"],
  ])("refuses the config %s", async (config, code) => {
    const files = new Map([
      ["config.json", new TextEncoder().encode(config)],
      ["model.safetensors", read("model.safetensors")],
    ]);
    expect(await codeOf(memoryFolder(files))).toBe(code);
  });

  it("accepts the unchanged twin of the checkpoints below", async () => {
    expect(await codeOf(await changed({}))).toBe("none");
    const inverse = { shape: [4], data: new Float32Array(4) };
    expect(
      await codeOf(await changed({ "model.layers.0.self_attn.rotary_emb.inv_freq": inverse })),
    ).toBe("none");
  });

  it("names a missing, a misshapen and a superfluous tensor", async () => {
    const name = "model.layers.1.self_attn.k_proj.weight";
    expect(await codeOf(await changed({ [name]: undefined }))).toBe("MissingTensor");
    const wrong = { shape: [8, 32], data: new Float32Array(256) };
    expect(await codeOf(await changed({ [name]: wrong }))).toBe("TensorShape");
    // Qwen3's query norm: ignored, the model would talk nonsense.
    const norm = { shape: [8], data: new Float32Array(8) };
    expect(await codeOf(await changed({ "model.layers.0.self_attn.q_norm.weight": norm }))).toBe(
      "UnexpectedTensor",
    );
  });

  it("closes a file that it refuses", async () => {
    const source = await fileSource(`${path}/config.json`);
    let closed = false;
    const watched: ByteSource = {
      name: source.name,
      size: source.size,
      read: (offset, length) => source.read(offset, length),
      async close() {
        closed = true;
        await source.close();
      },
    };
    await expect(openModel(watched)).rejects.toThrow(
      expect.objectContaining({ code: "GgufBadMagic" }) as Error,
    );
    expect(closed).toBe(true);
  });
});
