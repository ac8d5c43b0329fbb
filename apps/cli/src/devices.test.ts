import { join } from "node:path";
import { folder } from "@transmla/tensor-io";
import type { Device } from "@transmla/kernels";
import { webgpuDevice } from "@transmla/kernels-webgpu";
import { loadModel, openModel } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { describe, expect, inject, it } from "vitest";
import { openDevice } from "./devices";
import { temporaryFolder, transmla, transmlaJson } from "./testing";

const reason = await webgpuDevice().then(
  (device) => device.destroy(),
  (error: Error) => error.message,
);
if (reason !== undefined) {
  if (inject("gpuRequired")) throw new Error(reason);
  console.warn(`Skipped: the CLI on WebGPU. ${reason}`);
}

/** A GPU in software beside other tests takes its time. */
const PATIENCE_MS = 300_000;

/** Greedy tokens of the sample model. */
async function greedy(device: string): Promise<unknown> {
  const prompt = ["generate", "sample", "--prompt", "ROMEO:", "--max-tokens", "100"];
  const { code, result, stderr } = await transmlaJson([...prompt, "--device", device]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return result["tokens"];
}

describe.skipIf(reason !== undefined)("--device webgpu", () => {
  it(
    "gives the same 100 greedy tokens as the CPU",
    async () => {
      const tokens = await greedy("webgpu");
      expect(tokens).toHaveLength(100);
      expect(tokens).toEqual(await greedy("cpu"));
    },
    PATIENCE_MS,
  );

  it(
    "trains with the losses of the CPU",
    async () => {
      const losses = async (device: string) => {
        const out = join(await temporaryFolder(), "out");
        const size = ["--steps", "2", "--warmup", "1", "--batch", "8", "--context", "8"];
        const argv = ["train", "sample", out, ...size, "--train", "attention"];
        const { code, result } = await transmlaJson([...argv, "--device", device]);
        expect(code).toBe(0);
        return result["loss"] as number[];
      };
      const wanted = await losses("cpu");
      const found = await losses("webgpu");
      expect(found).toHaveLength(2);
      for (const [i, loss] of found.entries()) {
        expect(Math.abs(loss / wanted[i]! - 1)).toBeLessThan(1e-4);
      }
    },
    PATIENCE_MS,
  );

  it("decodes a token in one submission, reading back four bytes and making nothing anew", async () => {
    const device = await webgpuDevice();
    const files = await openModel(await folder(modelFolderPath()));
    const model = await loadModel(files, device);
    const cache = model.createCache({ capacity: 64 });
    const sequence = cache.open();
    const step = async (token: number) => {
      const logits = model.forward(cache, [{ sequence, tokens: Int32Array.of(token) }]);
      const choice = device.argmax(logits);
      const [next] = await (device as Device).read(choice);
      device.release(choice);
      device.release(logits);
      return next!;
    };
    let token = await step(1);
    token = await step(token);
    token = await step(token);
    const before = { ...device.statistics };
    for (let i = 0; i < 5; i++) token = await step(token);
    const { submissions, bytesRead, buffersCreated, bindGroupsCreated } = device.statistics;
    expect(submissions - before.submissions).toBe(5);
    expect(bytesRead - before.bytesRead).toBe(5 * 4);
    expect({ buffersCreated, bindGroupsCreated }).toEqual({
      buffersCreated: before.buffersCreated,
      bindGroupsCreated: before.bindGroupsCreated,
    });
    device.destroy();
    await files.close();
  });
});

describe("--device gpujs", () => {
  it("gives the same 100 greedy tokens as the CPU", async () => {
    expect(await greedy("gpujs")).toEqual(await greedy("cpu"));
  });
});

describe("--wide-vectors", () => {
  const joins = process.arch === "x64" && Number.parseInt(process.versions.node, 10) >= 24;
  const argv = ["evaluate", "sample", "--max-tokens", "600", "--context", "128"];

  it.skipIf(joins)("is refused where the engine cannot, before anything is read", async () => {
    const { code, stderr } = await transmla([...argv, "--wide-vectors"]);
    expect(code).toBe(2);
    expect(stderr).toContain("--wide-vectors needs Node 24 or later on x64");
    expect(stderr).toContain(`this is Node ${process.versions.node} on ${process.arch}`);
  });

  it.runIf(joins)("changes no number", async () => {
    const plain = await transmlaJson(argv);
    const wide = await transmlaJson([...argv, "--wide-vectors"]);
    expect(wide.result["perplexity"]).toBe(plain.result["perplexity"]);
  });
});

it("lets the event loop turn at a read, into an array of the caller's too", async () => {
  const device = await openDevice("cpu", {});
  const x = device.tensor(Float32Array.of(1, 2), [1, 2]);
  const into = new Float32Array(2);
  let turned = false;
  setImmediate(() => void (turned = true));
  expect(await device.read(x, into)).toBe(into);
  expect([...into]).toEqual([1, 2]);
  expect(turned).toBe(true);
  device.destroy();
});

it("names every device in the help", async () => {
  const { stdout } = await transmla(["generate", "--help"]);
  for (const name of ["cpu", "webgpu", "gpujs", "reference"]) expect(stdout).toContain(name);
});
