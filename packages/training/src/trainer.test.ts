import { cpuDevice, referenceDevice, type TrainingDevice } from "@transmla/kernels";
import { webgpuDevice } from "@transmla/kernels-webgpu";
import { deepseekTensors, modelTensors, type LatentAttentionConfig } from "@transmla/models";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packBatch } from "./batch";
import { BatchStream, documentList } from "./documents";
import { TrainingError } from "./errors";
import { headLoss } from "./objective";
import { Tape } from "./tape";
import { modelTeacher } from "./teacher";
import { golden, goldenModel, goldenNames, type Golden } from "./testing/golden";
import { noWebgpu } from "./testing/webgpu";
import { TrainableModel } from "./trainable-model";
import { meanCrossEntropy, Trainer } from "./trainer";

const documentsOf = ({ ids }: Golden) => ids.map((own) => ({ tokens: Int32Array.from(own) }));

const makers: Readonly<Record<string, () => TrainingDevice | Promise<TrainingDevice>>> = {
  reference: () => referenceDevice(),
  cpu: () => cpuDevice({ threads: 2 }),
  ...(noWebgpu === undefined ? { webgpu: () => webgpuDevice() } : {}),
};

for (const [deviceName, make] of Object.entries(makers)) {
  describe(`on the ${deviceName} device`, () => {
    let device: TrainingDevice;
    beforeAll(async () => {
      device = await make();
    });
    afterAll(() => device.destroy());

    for (const name of goldenNames) {
      test(`${name}: every gradient is near the float64 derivative`, async () => {
        const wanted = golden(name);
        const files = await goldenModel(name);
        const model = await TrainableModel.load(files, device, { train: "all" });
        const batch = packBatch(documentsOf(wanted));
        addGradients(model, batch);
        const find = locator(files.config, name);
        for (const [tensor, index, derivative] of wanted.derivatives) {
          const [ours, place] = find(tensor, index);
          const gradient = await device.read(model.parameters.get(ours).gradient!);
          const largest = gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          const difference = Math.abs(gradient[place]! - derivative);
          expect(difference, `${tensor}[${index}]`).toBeLessThanOrEqual(1e-3 * largest);
        }
        model.release();
        await files.close();
      });

      test(`${name}: three steps of AdamW as in PyTorch`, async () => {
        const wanted = golden(name);
        const files = await goldenModel(name);
        const model = await TrainableModel.load(files, device, { train: "all" });
        const trainer = new Trainer(model, streamOf(wanted), optionsOf(wanted));
        for (const [step, loss] of wanted.losses.slice(0, 3).entries()) {
          const report = await trainer.next();
          expect(report.loss).toBeCloseTo(loss, 4);
          expect(report.gradientNorm / wanted.norms[step]!).toBeCloseTo(1, 3);
        }
        const after = await meanCrossEntropy(model, [packBatch(documentsOf(wanted))]);
        expect(after).toBeCloseTo(wanted.losses[3]!, 4);
        trainer.release();
        model.release();
        await files.close();
      });
    }
  });
}

const streamOf = (wanted: Golden) =>
  new BatchStream(documentList(documentsOf(wanted)), { tokens: 32, seed: 0 });

const optionsOf = ({ settings }: Golden) => ({
  objective: { crossEntropy: 1 },
  steps: 3,
  rate: settings.rate,
  schedule: { name: "constant" as const },
  optimiser: {
    beta1: settings.betas[0],
    beta2: settings.betas[1],
    epsilon: settings.epsilon,
    weightDecay: settings.weightDecay,
    clip: settings.clip,
  },
});

function addGradients(
  model: TrainableModel,
  batch: ReturnType<typeof packBatch>,
  recompute = false,
) {
  const { device, head, config } = model;
  const factor = 1 / batch.ids.length;
  device.scope(() => {
    const tape = new Tape(device);
    const states = model.forward(tape, batch, { recompute });
    const { softCap } = config;
    const options = { objective: { crossEntropy: 1 }, batch, teacher: undefined, factor, softCap };
    tape.backward(states, headLoss(device, states.value, head, options).dStates!);
  });
}

/** Finds a number of a stored tensor among our parameters: DeepSeek's layout fuses projections. */
function locator(config: TrainableModel["config"], name: string) {
  const { attention } = config.layers[0]!;
  const stored =
    attention.kind === "mla" && name.startsWith("deepseek")
      ? deepseekTensors(modelTensors(config), attention as LatentAttentionConfig, true)
      : [];
  const fused = new Map(stored.map((tensor) => [tensor.name, tensor]));
  return (tensor: string, index: number): [string, number] => {
    const { parts, shape } = fused.get(tensor) ?? {};
    if (!parts) return [tensor, index];
    const columns = shape![1] ?? 1;
    const row = Math.floor(index / columns);
    const part = parts.find(({ rows }) => rows.includes(row))!;
    return [part.name, part.rows.indexOf(row) * columns + (index % columns)];
  };
}

describe("a trainer", () => {
  test("gives the same gradients with and without keeping activations", async () => {
    const device = referenceDevice();
    const wanted = golden("llama");
    const files = await goldenModel("llama");
    const gradients = [];
    for (const recompute of [false, true]) {
      const model = await TrainableModel.load(files, device, { train: "all" });
      addGradients(model, packBatch(documentsOf(wanted)), recompute);
      const all = model.parameters.trained.map(({ gradient }) => device.read(gradient!));
      gradients.push(await Promise.all(all));
    }
    expect(gradients[1]).toEqual(gradients[0]);
    await files.close();
  });

  test("gives the gradients of one batch for several that are accumulated", async () => {
    const device = referenceDevice();
    const wanted = golden("llama");
    const files = await goldenModel("llama");
    const losses = [];
    for (const [tokens, accumulate] of [
      [32, 1],
      [23, 2],
    ] as const) {
      const model = await TrainableModel.load(files, device, { train: "all" });
      const stream = new BatchStream(documentList(documentsOf(wanted)), { tokens, seed: 3 });
      const trainer = new Trainer(model, stream, { ...optionsOf(wanted), accumulate });
      const report = await trainer.next();
      expect(report.tokens).toBe(32);
      losses.push(report.loss, report.gradientNorm);
    }
    expect(losses[2]).toBeCloseTo(losses[0]!, 5);
    expect(losses[3]).toBeCloseTo(losses[1]!, 4);
    await files.close();
  });

  test("learns nothing from a teacher that is the student itself", async () => {
    const device = referenceDevice();
    const wanted = golden("llama");
    const files = await goldenModel("llama");
    const model = await TrainableModel.load(files, device, { train: "all" });
    const teacher = modelTeacher(await TrainableModel.load(files, device));
    const objective = { divergence: 1, temperature: 2, attention: 1 };
    const options = { ...optionsOf(wanted), objective, teacher };
    const report = await new Trainer(model, streamOf(wanted), options).next();
    expect(report.losses.divergence).toBeCloseTo(0, 6);
    expect(report.losses.attention).toBeCloseTo(0, 6);
    expect(report.gradientNorm).toBeLessThan(1e-5);
    await files.close();
  });

  test("approaches another teacher, by its logits and by its attention", async () => {
    const device = await cpuDevice();
    const wanted = golden("llama");
    const files = await goldenModel("llama");
    const teacherFiles = await goldenModel("llama-bias");
    const teacher = modelTeacher(await TrainableModel.load(teacherFiles, device));
    for (const objective of [{ divergence: 1 }, { attention: 1 }]) {
      const model = await TrainableModel.load(files, device, { train: "attention" });
      const options = { ...optionsOf(wanted), objective, teacher, steps: 30 };
      const trainer = new Trainer(model, streamOf(wanted), options);
      const losses = [];
      while (trainer.step < 30) losses.push((await trainer.next()).loss);
      expect(losses.at(-1)!).toBeLessThan(0.5 * losses[0]!);
    }
    device.destroy();
    await teacherFiles.close();
    await files.close();
  });

  test("refuses tokens beyond the vocabulary and options out of range", async () => {
    const device = referenceDevice();
    const files = await goldenModel("llama");
    const model = await TrainableModel.load(files, device, { train: "all" });
    const wrong = [{ tokens: Int32Array.of(1, 2, 96) }];
    const stream = new BatchStream(documentList(wrong), { tokens: 10, seed: 0 });
    const options = optionsOf(golden("llama"));
    await expect(new Trainer(model, stream, options).next()).rejects.toMatchObject({
      code: "InvalidTokens",
    });
    for (const changed of [
      { rate: 0 },
      { steps: 0 },
      { accumulate: 0 },
      { objective: {} },
      { objective: { crossEntropy: -1 } },
      { objective: { divergence: 1 } },
      { schedule: { warmup: 3 } },
    ]) {
      let error: unknown;
      try {
        void new Trainer(model, stream, { ...options, ...changed });
      } catch (thrown) {
        error = thrown;
      }
      expect(TrainingError.isInstance(error), JSON.stringify(changed)).toBe(true);
      expect((error as TrainingError).code).toBe("InvalidOption");
    }
    await files.close();
  });
});
