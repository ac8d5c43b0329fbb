import type { WritableFolder } from "@transmla/tensor-io";
import type { Batch } from "./batch";
import { meanCrossEntropy, type StepReport, type Trainer } from "./trainer";
import {
  restoreState,
  saveState,
  STATE_FILE,
  type Curve,
  type RunSettings,
  type ValidationPoint,
} from "./training-state";

export interface TrainOptions {
  /** Where the state of the run is kept, and what must be the same when it is resumed. Absent: nothing is kept. */
  readonly state?: { readonly folder: WritableFolder; readonly settings: RunSettings } | undefined;
  /** Go on from that state, if there is one (default false). */
  readonly resume?: boolean | undefined;
  /** Steps between two states (default 100). */
  readonly saveEvery?: number | undefined;
  /** Held-out documents, measured before the first step, after the last, and every `validateEvery` steps. */
  readonly validation?: readonly Batch[] | undefined;
  readonly validateEvery?: number | undefined;
  readonly onStep?: ((report: StepReport) => void) | undefined;
  readonly onValidation?: ((point: ValidationPoint) => void) | undefined;
  /** What an earlier run had shown, when one is resumed. */
  readonly onResume?: ((curve: Curve) => void) | undefined;
  /** Aborting saves the state, then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes all steps of a trainer that are left. Killed at any time and resumed, a run has the same curve as one that was not.
 *
 * @throws what `Trainer.next` throws; TrainingError `SettingsChanged`, `InvalidCheckpoint`; the signal's reason
 */
export async function train(trainer: Trainer, options: TrainOptions = {}): Promise<Curve> {
  const { state, resume = false, saveEvery = 100, validation, validateEvery, signal } = options;
  const { steps } = trainer.options;
  const resumes = resume && state !== undefined && (await state.folder.has(STATE_FILE));
  const curve: Curve = resumes
    ? await restoreState(state.folder, trainer, state.settings)
    : { reports: [], validation: [] };
  if (resumes) options.onResume?.(curve);

  const validate = async () => {
    if (!validation || curve.validation.at(-1)?.step === trainer.step) return;
    const nll = await meanCrossEntropy(trainer.model, validation, signal);
    const point = { step: trainer.step, nll };
    curve.validation.push(point);
    options.onValidation?.(point);
  };
  const save = async () => {
    if (state) await saveState(state.folder, trainer, state.settings, curve);
  };

  if (trainer.step === 0) await validate();
  while (trainer.step < steps) {
    if (signal?.aborted) {
      await save();
      signal.throwIfAborted();
    }
    const report = await trainer.next();
    curve.reports.push(report);
    options.onStep?.(report);
    if (trainer.step === steps) break;
    if (validateEvery && trainer.step % validateEvery === 0) await validate();
    if (trainer.step % saveEvery === 0) await save();
  }
  await validate();
  return curve;
}
