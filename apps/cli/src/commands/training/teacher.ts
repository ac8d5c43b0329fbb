import { stat } from "node:fs/promises";
import { fileSink, fileSource } from "@transmla/tensor-io";
import {
  asTrainingDevice,
  modelTeacher,
  openTeacherCache,
  TrainableModel,
  writeTeacherCache,
  type Teacher,
} from "@transmla/training";
import type { CommandContext } from "../../command";
import { shortName } from "../../model-location";
import type { TrainingJob } from "./run";

/** A teacher, and what must be closed after it. */
export interface OpenTeacher {
  readonly teacher: Teacher;
  close(): Promise<void>;
}

/** The teacher of a job: the model on the device, or the file of its logits, which is made first if it is missing. */
export async function openTeacher(
  context: CommandContext,
  job: TrainingJob,
): Promise<OpenTeacher | undefined> {
  const { teacher, cache, data } = job;
  if (!teacher) return undefined;
  if (!cache)
    return { teacher: modelTeacher(await loadTeacher(context, job)), close: async () => {} };
  if (!(await stat(cache.file).catch(() => undefined))) await fillCache(context, job, cache);
  const { vocabSize } = teacher.files.config;
  const source = await fileSource(cache.file);
  try {
    const cached = await openTeacherCache(source, data.documents, {
      name: identity(job, cache.topK),
      vocabSize,
      signal: context.signal,
    });
    return { teacher: cached, close: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

const identity = ({ teacher }: TrainingJob, topK: number): string =>
  `${teacher!.name}, top ${topK}`;

async function loadTeacher({ terminal, device, signal }: CommandContext, { teacher }: TrainingJob) {
  terminal.working(`loading ${shortName(teacher!.name)}`);
  return TrainableModel.load(teacher!.files, asTrainingDevice(await device()), { signal });
}

async function fillCache(
  context: CommandContext,
  job: TrainingJob,
  { file, topK }: { readonly file: string; readonly topK: number },
): Promise<void> {
  const model = await loadTeacher(context, job);
  await writeTeacherCache(
    fileSink(file),
    modelTeacher(model),
    model.device,
    model.config.vocabSize,
    job.data.documents,
    {
      topK,
      name: identity(job, topK),
      onProgress: context.terminal.progressOf("asking the teacher"),
      signal: context.signal,
    },
  );
  model.release();
}
