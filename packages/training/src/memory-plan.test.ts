import { cpuDevice } from "@transmla/kernels";
import { openModel, type ModelConfig, type ModelFiles } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { folder } from "@transmla/tensor-io";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { BatchStream, documentList } from "./documents";
import { memoryPlan, type MemoryPlanOptions } from "./memory-plan";
import { modelTeacher } from "./teacher";
import { TrainableModel } from "./trainable-model";
import { Trainer } from "./trainer";

let files: ModelFiles;
beforeAll(async () => {
  files = await openModel(folder(modelFolderPath()));
});
afterAll(() => files.close());

const tokens = 1024;
const context = 256;
const documents = documentList(
  Array.from({ length: 4 }, (_, i) => ({
    tokens: Int32Array.from({ length: context + 1 }, (_, t) => (7 * t + i) % 1024),
  })),
);

/** Bytes that a device has taken after a step. */
async function taken(options: MemoryPlanOptions): Promise<number> {
  const memories: WebAssembly.Memory[] = [];
  const Original = WebAssembly.Memory;
  vi.stubGlobal("WebAssembly", {
    __proto__: WebAssembly,
    Memory: class extends Original {
      constructor(descriptor: WebAssembly.MemoryDescriptor) {
        super(descriptor);
        memories.push(this);
      }
    },
  });
  const device = await cpuDevice({ threads: 2 });
  vi.unstubAllGlobals();
  const { train, storage, recompute } = options;
  const model = await TrainableModel.load(files, device, { train, storage });
  const teacher = options.teacher && modelTeacher(await TrainableModel.load(files, device));
  const stream = new BatchStream(documents, { tokens, seed: 1 });
  const objective = teacher ? { divergence: 1 } : { crossEntropy: 1 };
  await new Trainer(model, stream, { objective, teacher, steps: 1, rate: 1e-4, recompute }).next();
  device.destroy();
  return memories[0]!.buffer.byteLength;
}

describe("the plan of memory", () => {
  const cases: Readonly<
    Record<string, Partial<MemoryPlanOptions> | ((config: ModelConfig) => object)>
  > = {
    "all parameters": {},
    "one layer at a time": { recompute: true },
    "rounded weights": { storage: "bf16" },
    attention: { train: "attention" },
    adapters: { train: "adapters" },
    "a teacher": (config) => ({ teacher: config }),
  };
  for (const [name, changed] of Object.entries(cases)) {
    test(`${name}: is within a fifth of what the device takes`, async () => {
      const more = typeof changed === "function" ? changed(files.config) : changed;
      const options = { train: "all", tokens, context, threads: 2, ...more } as MemoryPlanOptions;
      const { total, ...parts } = memoryPlan(files.config, options);
      expect(Object.values(parts).reduce((sum, part) => sum + part, 0)).toBeCloseTo(total, 0);
      const ratio = (await taken(options)) / (total - parts.host);
      // The device takes memory in steps of 16 MB.
      expect(ratio).toBeLessThan(1.2);
      expect(ratio).toBeGreaterThan(0.8);
    });
  }
});
