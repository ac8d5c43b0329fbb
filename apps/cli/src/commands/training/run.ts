import { appendFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { companionFiles } from "@transmla/generation";
import type { Shape } from "@transmla/kernels";
import { planSafetensorsExport, writeSafetensorsExport, type ModelFiles } from "@transmla/models";
import { folder, type WritableFolder } from "@transmla/tensor-io";
import {
  asTrainingDevice,
  BatchStream,
  checkTeacher,
  checkTrainable,
  memoryPlan,
  STATE_FILE,
  TrainableModel,
  trainedFiles,
  Trainer,
  train,
  type Curve,
  type MemoryPlan,
  type Objective,
  type StepReport,
  type Teacher,
} from "@transmla/training";
import type { CommandContext, Result } from "../../command";
import { threadsOf } from "../../devices";
import { requireDisk } from "../../disk";
import { usage } from "../../errors";
import { shortName, type LocatedModel } from "../../model-location";
import { checkOutput, withOutput, type Unfinished } from "../../output-folder";
import { contextOf, trainingData, validationData, type TrainingData } from "./data";
import type { TrainingFlags } from "./flags";
import { reportPage } from "./report-page";
import { printOutcome, printPlan } from "./summary";
import { openTeacher } from "./teacher";

/** Losses step by step, as JSON lines. */
export const LOSS_FILE = "training-losses.jsonl";

const unfinishedTraining: Unfinished = {
  work: "training",
  isIn: (path) => folder(path).has(STATE_FILE),
};

/** What a command that trains hands over. */
export interface TrainingTask {
  readonly model: LocatedModel;
  readonly teacher?: LocatedModel | undefined;
  /** Where the teacher's largest logits are kept. */
  readonly cache?: { readonly file: string; readonly topK: number } | undefined;
  readonly out: string;
  readonly objective: Objective;
  readonly flags: TrainingFlags;
}

/** A run of which everything is known but its result. */
export interface TrainingJob extends TrainingTask {
  readonly data: TrainingData;
  readonly context: number;
  readonly memory: MemoryPlan;
  /** Bytes that the program takes before anything is loaded. */
  readonly programBytes: number;
}

/** Checks everything, then trains, and writes the model when the last step is made. */
export async function runTraining(context: CommandContext, task: TrainingTask): Promise<Result> {
  const { terminal } = context;
  const { model, teacher, out, flags, objective } = task;
  const { config } = model.files;
  checkTrainable(config);
  if (flags.warmup >= flags.steps) {
    throw usage(`--warmup ${flags.warmup} must be below --steps ${flags.steps}.`, {
      warmup: flags.warmup,
      steps: flags.steps,
    });
  }
  if (teacher) {
    checkTrainable(teacher.files.config);
    checkTeacher(config, teacher.files.config, (objective.attention ?? 0) > 0);
  }
  const companions = await companionFiles(model.files.origin);
  const fileNames = outputFiles(model.files, companions.keys());
  await checkOutput(out, model.path, fileNames, flags.resume, unfinishedTraining);
  terminal.working("reading the data");
  const data = await trainingData(context, model, flags);
  try {
    const tokens = contextOf(model, flags);
    const memory = memoryPlan(config, {
      train: flags.train,
      storage: flags.storage,
      adapterRank: flags.rank,
      tokens: flags.batch,
      context: tokens,
      recompute: flags.recompute,
      teacher: teacher?.files.config,
      threads: threadsOf(context.deviceName, context.compute),
    });
    const programBytes = process.memoryUsage().rss;
    const job: TrainingJob = { ...task, data, context: tokens, memory, programBytes };
    await requireDisk(out, diskBytes(job));
    printPlan(terminal, job);
    if (flags.dryRun) return plannedResult(job);
    const write = (output: WritableFolder) => execute(context, job, output, companions);
    return await withOutput(out, fileNames, write, {
      resume: flags.resume,
      unfinished: unfinishedTraining,
    });
  } finally {
    await data.close();
  }
}

/** The model and, while it is trained, two states: the one that is written and the one that it replaces. */
function diskBytes({ model, memory }: TrainingJob): number {
  // A state has the trained parameters beside the moments, which are twice as many numbers.
  return planSafetensorsExport(model.files).shards.totalBytes + 3 * memory.optimiser;
}

/** Everything that will be written. Throws ModelsError `UnsupportedModel` for a layout that is not written. */
function outputFiles(files: ModelFiles, companions: Iterable<string>): string[] {
  const { shards } = planSafetensorsExport(files).shards;
  return [...shards.map(({ file }) => file), ...companions, LOSS_FILE, "config.json"];
}

const plannedResult = (job: TrainingJob): Result => ({
  steps: job.flags.steps,
  documents: job.data.documents.count,
  context: job.context,
  ...plannedMemory(job),
});

const plannedMemory = ({ memory, programBytes }: TrainingJob) => ({
  memory,
  plannedBytes: memory.total + programBytes,
});

async function execute(
  context: CommandContext,
  job: TrainingJob,
  output: WritableFolder,
  companions: ReadonlyMap<string, Uint8Array>,
): Promise<Result> {
  const started = performance.now();
  const { terminal } = context;
  const { model, flags, out } = job;
  terminal.working(`loading ${shortName(model.name)}`);
  const device = asTrainingDevice(await context.device());
  device.checkRoom({ tensors: tensorsOf(job.memory) });
  const trained = await TrainableModel.load(model.files, device, {
    train: flags.train,
    storage: flags.storage,
    adapters: flags.train === "adapters" ? { rank: flags.rank } : undefined,
    seed: flags.seed,
    signal: context.signal,
  });
  const validation = await validationData(context, model, flags);
  const teacher = await openTeacher(context, job);
  const trainer = trainerOf(job, trained, teacher?.teacher);
  const { finished, ...heard } = listeners(context, job);
  const curve = await train(trainer, {
    state: { folder: output, settings: settingsOf(job) },
    resume: flags.resume,
    saveEvery: flags.saveEvery,
    validation,
    validateEvery: flags.validateEvery,
    signal: context.signal,
    ...heard,
  }).finally(async () => {
    await finished();
    await teacher?.close();
  });
  terminal.working("writing the model");
  await writeModel(
    trainedFiles(model.files, trained, dtypes[flags.dtype]),
    output,
    companions,
    context,
    flags.resume,
  );
  // Last, so that a run killed before this goes on, if only to write the model again.
  await rm(join(out, STATE_FILE), { force: true });
  const seconds = (performance.now() - started) / 1000;
  if (flags.report) await writeFile(flags.report, reportPage(job, curve, seconds));
  printOutcome(terminal, job, curve, seconds);
  return resultOf(job, curve, seconds);
}

/** Numbers of a tensor that every device can hold in one piece. */
const PIECE = 2 ** 24;

/** The room that a plan takes on the device, in pieces: on a GPU one tensor has a limit of its own. */
function tensorsOf({ total, host }: MemoryPlan): readonly Shape[] {
  const numbers = Math.ceil((total - host) / 4);
  return Array.from({ length: Math.ceil(numbers / PIECE) }, (_, i) => [
    1,
    Math.min(PIECE, numbers - i * PIECE),
  ]);
}

const dtypes = { stored: "stored", f32: "F32", f16: "F16", bf16: "BF16" } as const;

function trainerOf(job: TrainingJob, model: TrainableModel, teacher: Teacher | undefined): Trainer {
  const { flags, objective, data } = job;
  const { batch, seed, steps, rate, schedule: name, warmup, weightDecay, clip } = flags;
  const stream = new BatchStream(data.documents, { tokens: batch, seed });
  return new Trainer(model, stream, {
    objective,
    teacher,
    steps,
    rate,
    schedule: { name, warmup },
    optimiser: { weightDecay, clip },
    accumulate: flags.accumulate,
    recompute: flags.recompute,
  });
}

/** What must be the same for a run to be resumed: all that the curve depends on. */
function settingsOf({ flags, objective, data, model, teacher, cache, context }: TrainingJob) {
  const {
    resume: _r,
    dryRun: _d,
    report: _p,
    saveEvery: _s,
    dtype: _t,
    validation: _v,
    ...rest
  } = flags;
  return {
    ...rest,
    context,
    objective,
    documents: data.documents.count,
    model: model.name,
    teacher: teacher?.name,
    topK: cache?.topK,
  };
}

/** Progress on the terminal, and a line of the loss file for every step. */
function listeners({ terminal }: CommandContext, { flags, out }: TrainingJob) {
  const file = join(out, LOSS_FILE);
  const progress = terminal.progressOf("training");
  let written: Promise<void> = Promise.resolve();
  const line = (value: object) => `${JSON.stringify(value)}\n`;
  return {
    /** When everything heard is written. */
    finished: () => written,
    onResume: ({ reports, validation }: Curve) => {
      written = writeFile(file, [...reports, ...validation].map(line).join(""));
      terminal.note(`resumed after step ${reports.length}`);
    },
    onStep: (report: StepReport) => {
      written = written.then(() => appendFile(file, line(report)));
      progress({ done: report.step, total: flags.steps, unit: "steps" });
      if (report.step % flags.validateEvery === 0) {
        terminal.note(`step ${report.step}: loss ${report.loss.toFixed(4)}`);
      }
    },
    onValidation: (point: { readonly step: number; readonly nll: number }) => {
      written = written.then(() => appendFile(file, line(point)));
      terminal.note(`step ${point.step}: ${point.nll.toFixed(4)} nats per held-out token`);
    },
  };
}

async function writeModel(
  files: ModelFiles,
  output: WritableFolder,
  extraFiles: ReadonlyMap<string, Uint8Array>,
  { terminal, signal }: CommandContext,
  overwrite: boolean,
): Promise<void> {
  const onProgress = terminal.progressOf("writing the model");
  await writeSafetensorsExport(planSafetensorsExport(files), output, {
    extraFiles,
    onProgress,
    signal,
    overwrite,
  });
}

function resultOf(job: TrainingJob, { reports, validation }: Curve, seconds: number): Result {
  const tokens = reports.reduce((sum, report) => sum + report.tokens, 0);
  const stepSeconds = reports.reduce((sum, report) => sum + report.seconds, 0);
  return {
    steps: reports.length,
    tokens,
    loss: reports.map(({ loss }) => loss),
    validation: validation.length > 0 && {
      before: validation[0]!.nll,
      after: validation.at(-1)!.nll,
      points: validation,
    },
    seconds,
    tokensPerSecond: tokens / stepSeconds,
    ...plannedMemory(job),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}
