import { cpuDevice, type TrainingDevice } from "@transmla/kernels";
import { planSafetensorsExport, openModel, writeSafetensorsExport } from "@transmla/models";
import { memoryFolder } from "@transmla/tensor-io";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packBatch } from "./batch";
import { BatchStream, documentList } from "./documents";
import { modelTeacher } from "./teacher";
import { goldenModel } from "./testing/golden";
import { TrainableModel } from "./trainable-model";
import { train } from "./train";
import { trainedFiles } from "./trained-checkpoint";
import { meanCrossEntropy, Trainer, type TrainerOptions } from "./trainer";
import { STATE_FILE, type Curve } from "./training-state";

const documents = Array.from({ length: 13 }, (_, i) => ({
  tokens: Int32Array.from({ length: 5 + (i % 4) }, (_, t) => (7 * i + 11 * t) % 96),
}));
const validation = [packBatch(documents.slice(0, 3))];
const settings = { data: "made up", steps: 12 };

let device: TrainingDevice;
beforeAll(async () => {
  device = await cpuDevice({ threads: 2 });
});
afterAll(() => device.destroy());

async function trainerOf(changed: Partial<TrainerOptions> = {}, seed = 5): Promise<Trainer> {
  const files = await goldenModel("llama");
  const teacherFiles = await goldenModel("llama-bias");
  const model = await TrainableModel.load(files, device, { train: "all" });
  const teacher = modelTeacher(await TrainableModel.load(teacherFiles, device));
  await files.close();
  await teacherFiles.close();
  const data = new BatchStream(documentList(documents), { tokens: 16, seed });
  return new Trainer(model, data, {
    objective: { crossEntropy: 0.5, divergence: 1, attention: 0.5 },
    teacher,
    steps: 12,
    rate: 3e-3,
    schedule: { warmup: 2 },
    accumulate: 2,
    ...changed,
  });
}

/** What must be the same: everything but the time. */
const shown = ({ reports, validation: points }: Curve) => ({
  reports: reports.map((report) => ({ ...report, seconds: 0 })),
  points,
});

describe("a run", () => {
  test("that was killed in mid-step and resumed has the same curve", async () => {
    const whole = await train(await trainerOf(), { validation, validateEvery: 4 });
    expect(whole.reports).toHaveLength(12);
    expect(whole.validation.map(({ step }) => step)).toEqual([0, 4, 8, 12]);

    // The state is that of step 5; step 6 is lost, and the gradients of step 7.
    const folder = memoryFolder();
    const state = { folder, settings };
    const killed = await trainerOf();
    const update = killed.optimiser.update.bind(killed.optimiser);
    killed.optimiser.update = (rate, norm) => {
      if (killed.step === 6) throw new Error("killed");
      update(rate, norm);
    };
    const options = { validation, validateEvery: 4, state, saveEvery: 5 };
    await expect(train(killed, options)).rejects.toThrow("killed");

    const resumed = await train(await trainerOf(), { ...options, resume: true });
    expect(shown(resumed)).toEqual(shown(whole));
  });

  test("that is aborted keeps its state and says why", async () => {
    const folder = memoryFolder();
    const state = { folder, settings };
    const controller = new AbortController();
    const first: number[] = [];
    const stopped = train(await trainerOf(), {
      state,
      signal: controller.signal,
      onStep: ({ step, loss }) => {
        first.push(loss);
        if (step === 3) controller.abort(new Error("enough"));
      },
    });
    await expect(stopped).rejects.toThrow("enough");
    expect(first).toHaveLength(3);
    const seen: number[] = [];
    const rest = await train(await trainerOf(), {
      state,
      resume: true,
      onResume: ({ reports }) => seen.push(...reports.map(({ loss }) => loss)),
    });
    expect(seen).toEqual(first);
    expect(rest.reports).toHaveLength(12);
  });

  test("refuses the state of other settings, of another model, or a damaged one", async () => {
    const folder = memoryFolder();
    const state = { folder, settings };
    await train(await trainerOf(), { state, saveEvery: 6 });
    const again = async (changed: object, model = trainerOf()) =>
      train(await model, {
        state: { folder, settings: { ...settings, ...changed } },
        resume: true,
      });
    await expect(again({ steps: 13 })).rejects.toMatchObject({ code: "SettingsChanged" });
    const files = await goldenModel("llama-tied");
    const other = await TrainableModel.load(files, device, { train: "all" });
    const base = await trainerOf();
    const unlike = new Trainer(other, base.data, { ...base.options });
    await expect(again({}, Promise.resolve(unlike))).rejects.toMatchObject({
      code: "InvalidCheckpoint",
    });
    const wrong = memoryFolder(new Map([[STATE_FILE, new Uint8Array(30)]]));
    const damaged = train(await trainerOf(), { state: { folder: wrong, settings }, resume: true });
    await expect(damaged).rejects.toThrow();
    await files.close();
  });

  test("whose loss overflows changes nothing", async () => {
    const trainer = await trainerOf({
      rate: 1e30,
      schedule: { name: "constant" },
      optimiser: { clip: 0 },
    });
    await expect(train(trainer)).rejects.toMatchObject({ code: "LossNotFinite" });
    const gradients = trainer.model.parameters.trained.map(({ gradient }) =>
      device.read(gradient!),
    );
    for (const values of await Promise.all(gradients)) {
      expect(values.every((value) => value === 0)).toBe(true);
    }
  });
});

describe("what was trained", () => {
  for (const pattern of ["all", "attention", "adapters"] as const) {
    test(`${pattern}: is written in the layout of the original and read back`, async () => {
      const files = await goldenModel("llama");
      const model = await TrainableModel.load(files, device, { train: pattern, seed: 1 });
      const data = new BatchStream(documentList(documents), { tokens: 16, seed: 2 });
      const options = { objective: { crossEntropy: 1 }, steps: 5, rate: 1e-2 };
      await train(new Trainer(model, data, options));
      const loss = await meanCrossEntropy(model, validation);

      const out = memoryFolder();
      await writeSafetensorsExport(planSafetensorsExport(trainedFiles(files, model, "F32")), out);
      const written = await openModel(out);
      const back = await TrainableModel.load(written, device);
      expect(await meanCrossEntropy(back, validation)).toBeCloseTo(loss, 5);
      for (const name of model.parameters.names) {
        const untouched = pattern !== "all" && !name.includes("_proj");
        if (!untouched && !(pattern === "attention" && name.includes(".mlp."))) continue;
        const before = await files.checkpoint.readBytes(name);
        expect(await written.checkpoint.readBytes(name), name).toEqual(before);
      }
      model.release();
      back.release();
      await files.close();
    });
  }

  test("norms that are stored less one stay so", async () => {
    const files = await goldenModel("gemma2");
    const model = await TrainableModel.load(files, device, { train: "all" });
    const { checkpoint } = trainedFiles(files, model);
    const name = "model.norm.weight";
    const [before, after] = [files.checkpoint, checkpoint].map((from) =>
      from.read(name, { as: "f32" }),
    );
    const stored = await before!;
    (await after!).forEach((value, i) => expect(value).toBeCloseTo(stored[i]!, 6));
    model.release();
    await files.close();
  });

  test("weights rounded to bfloat16 learn through their float32 masters", async () => {
    const files = await goldenModel("llama");
    const losses = [];
    for (const storage of ["f32", "bf16"] as const) {
      const model = await TrainableModel.load(files, device, { train: "all", storage });
      const data = new BatchStream(documentList(documents), { tokens: 100, seed: 2 });
      // Steps too small for bfloat16: without masters nothing would change.
      const options = { objective: { crossEntropy: 1 }, steps: 20, rate: 2e-4 };
      const { reports } = await train(new Trainer(model, data, options));
      losses.push([reports[0]!.loss, reports.at(-1)!.loss]);
    }
    const [single, half] = losses as [number[], number[]];
    expect(half[0]! - half[1]!).toBeGreaterThan(0.7 * (single[0]! - single[1]!));
    expect(half[0]!).toBeCloseTo(single[0]!, 1);
    expect(half[0]).not.toBe(single[0]);
    await files.close();
  });
});
