import type { Tensor, TrainingDevice } from "@transmla/kernels";
import type { ModelConfig } from "@transmla/models";
import type { Batch } from "./batch";
import { TrainingError } from "./errors";
import type { AttentionRecord } from "./objective";
import { Tape } from "./tape";
import type { TrainableModel } from "./trainable-model";

/** What a teacher says about a batch. */
export interface TeacherLogits {
  /** Logits of some rows of the batch, `[rows, vocab]`, in the scope that is open. */
  rows(device: TrainingDevice, rows: Int32Array): Tensor;
}

/** Where the wisdom of a teacher comes from. */
export interface Teacher {
  /** Reads what the next `logits` of this batch needs, where that is not there. */
  prepare?(batch: Batch): Promise<void>;
  /** In the scope that is open. */
  logits(batch: Batch): TeacherLogits;
  /** Shows what enters every layer and what its attention gives, layer by layer, in the scope that is open. */
  visitAttention(batch: Batch, visit: (record: AttentionRecord) => void): void;
}

/** A teacher that is asked anew for every batch, on the device of the student. */
export function modelTeacher(model: TrainableModel): Teacher {
  const { device, config, head } = model;
  const states = (batch: Batch, visit?: (record: AttentionRecord) => void) =>
    device.scope(() => {
      const onAttention =
        visit &&
        ((layer: number, input: Tensor, output: Tensor) => visit({ layer, input, output }));
      return model.forward(new Tape(device), batch, { recompute: true, onAttention }).value;
    });
  return {
    logits(batch) {
      const all = states(batch);
      return {
        rows: (_, rows) => {
          const some = device.gatherRows(all, rows);
          const logits = device.training.product("abT", some, head.value);
          return config.softCap === undefined ? logits : device.softCap(logits, config.softCap);
        },
      };
    },
    visitAttention: (batch, visit) => void states(batch, visit),
  };
}

/** @throws TrainingError `TeacherMismatch` */
export function checkTeacher(
  student: ModelConfig,
  teacher: ModelConfig,
  comparesAttention: boolean,
): void {
  const refuse = (message: string) => {
    throw new TrainingError("TeacherMismatch", message, {
      student: { vocabSize: student.vocabSize, hiddenSize: student.hiddenSize },
      teacher: { vocabSize: teacher.vocabSize, hiddenSize: teacher.hiddenSize },
    });
  };
  if (student.vocabSize !== teacher.vocabSize) {
    refuse(
      `The teacher has ${teacher.vocabSize} tokens and the student ${student.vocabSize}; both need the same tokenizer.`,
    );
  }
  if (!comparesAttention) return;
  if (
    student.hiddenSize !== teacher.hiddenSize ||
    student.layers.length !== teacher.layers.length
  ) {
    refuse("To compare attention, teacher and student need the same hidden size and layers.");
  }
}

/** Mean square of every layer's attention output in one batch, per token. */
export async function attentionScales(
  teacher: Teacher,
  { device, config }: TrainableModel,
  batch: Batch,
): Promise<readonly number[]> {
  const squares = device.scope(() => {
    const sums = device.training.zeros([config.layers.length, 1]);
    teacher.visitAttention(batch, ({ layer, output }) => {
      const square = device.training.sumOfSquares(output);
      device.training.addRows(sums, Int32Array.of(layer), square);
    });
    return sums;
  });
  const values = await device.read(squares);
  device.release(squares);
  return Array.from(values, (value) => Math.max(value / batch.ids.length, 1e-12));
}
