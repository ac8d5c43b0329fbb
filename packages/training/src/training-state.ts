import type { Tensor } from "@transmla/kernels";
import {
  openSafetensors,
  planSafetensors,
  TensorWriter,
  type WritableFolder,
} from "@transmla/tensor-io";
import type { DataPosition } from "./documents";
import { TrainingError } from "./errors";
import type { Parameter } from "./parameters";
import type { StepReport, Trainer } from "./trainer";

/** Mean cross-entropy on held-out documents after some steps, in nats. */
export interface ValidationPoint {
  readonly step: number;
  readonly nll: number;
}

/** What a run has shown so far. */
export interface Curve {
  readonly reports: StepReport[];
  readonly validation: ValidationPoint[];
}

/** The one file that an interrupted run goes on from. */
export const STATE_FILE = "training-state.safetensors";

const FORMAT = "transmla-training-1";

/** What a run was made of: a resumed one must have the same. */
export type RunSettings = Readonly<Record<string, unknown>>;

/**
 * Writes everything a run needs to go on: masters under the names of the model, AdamW's moments beside them, the place in the
 * data, and the curve so far. It replaces the file of an earlier step in one rename, so that a kill leaves the one or the
 * other. Tensors are read from the device one at a time.
 */
export async function saveState(
  folder: WritableFolder,
  trainer: Trainer,
  settings: RunSettings,
  curve: Curve,
): Promise<void> {
  const { device } = trainer.model;
  const state = { step: trainer.step, position: trainer.data.position, settings, ...curve };
  const specs = Array.from(stateTensors(trainer), ([name, { shape }]) => ({
    name,
    dtype: "F32" as const,
    shape,
  }));
  const plan = planSafetensors(specs, { format: FORMAT, state: JSON.stringify(state) });
  const sink = folder.create(STATE_FILE);
  const writer = new TensorWriter(sink, plan);
  try {
    for (const [name, tensor] of stateTensors(trainer)) {
      const { buffer, byteOffset, byteLength } = await device.read(tensor);
      await writer.write(name, new Uint8Array(buffer, byteOffset, byteLength));
    }
    await writer.finish();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** What `saveState` wrote, put back into a trainer of the same model and settings; the curve so far. */
export async function restoreState(
  folder: WritableFolder,
  trainer: Trainer,
  settings: RunSettings,
): Promise<Curve> {
  const checkpoint = await openSafetensors(await folder.open(STATE_FILE));
  try {
    const { step, position, settings: before, reports, validation } = stateOf(checkpoint.metadata);
    const changed = changedSettings(before, settings);
    if (changed.length > 0) {
      throw new TrainingError(
        "SettingsChanged",
        `The run in ${folder.name} had other settings: ${changed.join(", ")}. Use the same, or begin anew.`,
        { changed },
      );
    }
    const { device } = trainer.model;
    for (const [name, tensor] of stateTensors(trainer)) {
      const info = checkpoint.tensors.get(name);
      if (info?.shape.join() !== tensor.shape.join()) {
        throw new TrainingError(
          "InvalidCheckpoint",
          `${STATE_FILE} does not fit the model: ${name} is [${info?.shape.join(", ") ?? "absent"}], expected [${tensor.shape.join(", ")}].`,
          { tensor: name },
        );
      }
      const values = device.tensor(await checkpoint.read(name, { as: "f32" }), tensor.shape);
      device.training.fill(tensor, 0);
      device.training.addScaled(tensor, values, 1);
      device.release(values);
    }
    for (const { parameter } of parametersOf(trainer)) parameter.changed();
    trainer.optimiser.step = step;
    trainer.data.position = position;
    return { reports, validation };
  } finally {
    await checkpoint.close();
  }
}

interface SavedState extends Curve {
  readonly step: number;
  readonly position: DataPosition;
  readonly settings: RunSettings;
}

function stateOf(metadata: ReadonlyMap<string, string>): SavedState {
  const text = metadata.get("state");
  if (metadata.get("format") !== FORMAT || text === undefined) {
    throw new TrainingError("InvalidCheckpoint", `${STATE_FILE} is not one of this version.`);
  }
  try {
    return JSON.parse(text) as SavedState;
  } catch (cause) {
    const message = `${STATE_FILE} has a damaged header.`;
    throw new TrainingError("InvalidCheckpoint", message, {}, { cause });
  }
}

function changedSettings(before: RunSettings, now: RunSettings): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  const text = (value: unknown) => JSON.stringify(value) ?? "";
  return [...names].filter((name) => text(before[name]) !== text(now[name]));
}

const parametersOf = ({ optimiser }: Trainer) =>
  Array.from(optimiser.moments, ([parameter, moments]) => ({ parameter, moments }));

/** Masters, then moments, by the names they have in the file. */
function* stateTensors(trainer: Trainer): Generator<readonly [string, Tensor]> {
  for (const { parameter, moments } of parametersOf(trainer)) {
    const { name, master }: Parameter = parameter;
    yield [name, master];
    yield [`optimiser.first.${name}`, moments.first];
    yield [`optimiser.second.${name}`, moments.second];
  }
}
