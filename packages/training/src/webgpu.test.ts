import { convert, planConversion } from "@transmla/conversion";
import { referenceDevice, type TrainingDevice } from "@transmla/kernels";
import { webgpuDevice, type WebgpuDevice } from "@transmla/kernels-webgpu";
import {
  modelTensors,
  openModel,
  parseConfig,
  readConfig,
  type ModelFiles,
} from "@transmla/models";
import { memoryFolder, writeFile, writeSafetensors, type TensorData } from "@transmla/tensor-io";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BatchStream, documentList } from "./documents";
import type { Objective } from "./objective";
import { uniform } from "./random";
import { modelTeacher } from "./teacher";
import { noWebgpu } from "./testing/webgpu";
import { TrainableModel } from "./trainable-model";
import { Trainer } from "./trainer";

/** These run in a browser too (`npm run test:webgpu`), so models are made in memory. Beside PyTorch: `trainer.test.ts`. */
const llama = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 8,
  vocab_size: 96,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 0,
};

/** A model of random weights, in memory. */
async function randomModel(seed: number): Promise<ModelFiles> {
  const random = uniform(seed);
  const output = memoryFolder();
  await writeFile(output, "config.json", new TextEncoder().encode(JSON.stringify(llama)));
  const config = parseConfig(await readConfig(output), "config.json");
  const tensors = modelTensors(config).map(({ name, shape }): [string, TensorData] => {
    const count = shape.reduce((product, size) => product * size, 1);
    const around = name.endsWith("norm.weight") ? 1 : 0;
    const data = Float32Array.from({ length: count }, () => around + 0.4 * (random() - 0.5));
    return [name, { shape, data }];
  });
  await writeSafetensors(output.create("model.safetensors"), new Map(tensors));
  return openModel(output);
}

/** The same model with latent attention. */
async function latentModel(files: ModelFiles): Promise<ModelFiles> {
  const output = memoryFolder();
  const plan = planConversion(files, { method: "exact", dtype: "f32" });
  await convert(plan, { device: referenceDevice(), calibration: [], output });
  return openModel(output);
}

const documents = [1, 2].map((seed) => {
  const random = uniform(seed);
  return { tokens: Int32Array.from({ length: 23 }, () => Math.floor(96 * random())) };
});

const STEPS = 3;

/** Losses and norms of three steps, and what the trained parameters are then. */
async function trained(
  device: TrainingDevice,
  { student, teacher }: Readonly<Record<"student" | "teacher", ModelFiles>>,
  objective: Objective,
) {
  const model = await TrainableModel.load(student, device, { train: "all" });
  const trainer = new Trainer(
    model,
    new BatchStream(documentList(documents), { tokens: 64, seed: 0 }),
    {
      objective,
      teacher: modelTeacher(await TrainableModel.load(teacher, device)),
      steps: STEPS,
      rate: 3e-3,
      schedule: { name: "constant" },
    },
  );
  const reports = [];
  while (trainer.step < STEPS) reports.push(await trainer.next());
  const parameters = new Map<string, Float32Array>();
  for (const { name, master } of model.parameters.trained) {
    parameters.set(name, await device.read(master));
  }
  return { reports, parameters, trainer };
}

describe.skipIf(noWebgpu !== undefined)("training on WebGPU", () => {
  let device: WebgpuDevice;
  let grouped: ModelFiles;
  let latent: ModelFiles;
  let other: ModelFiles;
  beforeAll(async () => {
    device = await webgpuDevice();
    grouped = await randomModel(1);
    latent = await latentModel(grouped);
    other = await randomModel(2);
  });
  afterAll(() => device?.destroy());

  const cases: Readonly<Record<string, () => { student: ModelFiles; objective: Objective }>> = {
    "grouped attention, cross-entropy": () => ({
      student: grouped,
      objective: { crossEntropy: 1 },
    }),
    "latent attention, distilled": () => ({
      student: latent,
      objective: { crossEntropy: 0.5, divergence: 1, temperature: 2, attention: 0.1 },
    }),
  };
  for (const [name, make] of Object.entries(cases)) {
    test(`${name}: the curve and the weights of the reference device`, async () => {
      const { student, objective } = make();
      const models = { student, teacher: other };
      const wanted = await trained(referenceDevice(), models, objective);
      const found = await trained(device, models, objective);
      for (const [step, { loss, gradientNorm }] of wanted.reports.entries()) {
        const report = found.reports[step]!;
        expect(Math.abs(report.loss / loss - 1), `loss ${step}`).toBeLessThan(1e-4);
        expect(Math.abs(report.gradientNorm / gradientNorm - 1), `norm ${step}`).toBeLessThan(1e-3);
      }
      for (const [parameter, values] of wanted.parameters) {
        const ours = found.parameters.get(parameter)!;
        const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const farthest = values.reduce(
          (most, value, i) => Math.max(most, Math.abs(value - ours[i]!)),
          0,
        );
        expect(farthest, parameter).toBeLessThan(1e-3 * largest);
      }
    });
  }

  test("a step reads back losses and the norm, and nothing else", async () => {
    const models = { student: grouped, teacher: other };
    const { trainer } = await trained(device, models, { crossEntropy: 1 });
    const before = { ...device.statistics };
    const { tokens } = await trainer.next();
    // A number for each prediction, and the sum of the squares.
    expect(device.statistics.bytesRead - before.bytesRead).toBe(4 * tokens + 4);
    expect(device.statistics.submissions - before.submissions).toBe(2);
    expect(device.statistics.buffersCreated - before.buffersCreated).toBe(0);
  });
});
