import { isDeepStrictEqual } from "node:util";
import { stepNames } from "@transmla/conversion";
import { subjects } from "./subjects.mjs";

export const keeps = [0.5, 0.3125, 0.1875, 0.125];
const SMALLEST = keeps.at(-1);
const seeds = [1, 2];

/** Layouts of the converted model. Shares of steps are measured in the native one. */
export const blocks = {
  native: { title: "Native layout", options: {} },
  deepseek: { title: "Stock DeepSeek layout", options: { format: "deepseek" } },
};

/** To be raised when a method converts differently with the same options, so that its cells are measured again. */
const revisions = {
  transmla: { native: 1, deepseek: 1 },
  "output-aware": { native: 6, deepseek: 7 },
};

/**
 * All cells of the table, most important first: both methods at all sizes, then the left-out steps at the smallest, then the rest; the
 * sample model before the real one, since it takes minutes.
 *
 * A cell is `{ subject, block, method, keep, without, seed, context }`.
 */
export function allCells() {
  const cells = [];
  for (const subject of Object.keys(subjects)) {
    for (const block of Object.keys(blocks)) {
      for (const seed of seeds) {
        for (const context of subjects[subject].contexts) {
          for (const keep of keeps) {
            const base = { subject, block, keep, seed, context };
            cells.push({ ...base, method: "transmla" }, { ...base, method: "output-aware" });
            if (block !== "native") continue;
            for (const without of stepNames)
              cells.push({ ...base, method: "output-aware", without });
          }
        }
      }
    }
  }
  return cells
    .map((cell, index) => ({ cell, rank: [...importance(cell), index] }))
    .toSorted((a, b) => compareRanks(a.rank, b.rank))
    .map(({ cell }) => cell);
}

function importance({ subject, keep, without, seed, block, method }) {
  const share = without === undefined ? 0 : keep === SMALLEST ? 1 : 2;
  const position = [keeps.indexOf(keep), method === "transmla" ? 0 : 1, stepNames.indexOf(without)];
  const later = seed > 1 ? 3 : 0;
  return [
    Object.keys(subjects).indexOf(subject),
    later + share,
    block === "native" ? 0 : 1,
    ...position,
  ];
}

function compareRanks(a, b) {
  const index = a.findIndex((value, i) => value !== b[i]);
  return index < 0 ? 0 : a[index] - b[index];
}

/** What a person calls a cell; also its place in the results. */
export function labelOf({ subject, block, method, keep, without, seed, context }) {
  const steps = without === undefined ? "" : ` without ${without}`;
  return `${subject} ${block} ${method}${steps}, keep ${100 * keep} %, seed ${seed}, context ${context}`;
}

/** Options for `planConversion`. */
export function conversionOptions({ block, method, keep, without }) {
  return {
    ...blocks[block].options,
    method,
    keep,
    ...(without !== undefined && { steps: { [without]: false } }),
  };
}

/**
 * Everything that determines a cell beside its files. All steps are written out, so that a new one makes the cells of its method
 * stale.
 */
export function settingsOf(cell) {
  const { method, without, seed, context } = cell;
  const { calibration, evaluationTokens } = subjects[cell.subject];
  const steps = Object.fromEntries(stepNames.map((name) => [name, name !== without]));
  return {
    options: conversionOptions(cell),
    ...(method === "output-aware" && { steps }),
    revision: revisions[method][cell.block],
    calibration: { ...calibration, seed },
    evaluation: { context, tokens: evaluationTokens },
  };
}

/** Whether a saved cell is what would be measured now; without `inputs` (files that are not here) only its settings are compared. */
export function isCurrent(saved, cell, inputs) {
  if (saved === undefined || !isDeepStrictEqual(saved.settings, settingsOf(cell))) return false;
  return inputs === undefined || isDeepStrictEqual(saved.inputs, inputs);
}
