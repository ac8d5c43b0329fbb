import { patterns, scheduleNames, type ParameterPattern } from "@transmla/training";
import type { FlagValues } from "../../command";
import { choice, decimal, filled, integer, optional, toggle, withDefault } from "../../flags";

const patternNames = Object.keys(patterns) as readonly (keyof typeof patterns)[];

/** Flags of every command that trains. */
export const trainingFlags = {
  text: optional("--text <file>", "UTF-8 text to learn from, or sample", filled),
  data: optional("--data <file>", "JSON lines: conversations, prompts and completions", filled),
  validation: optional(
    "--validation <file>",
    "UTF-8 text that is only measured on, or sample",
    filled,
  ),
  steps: withDefault("--steps <n>", "steps of the whole run", integer(1), 200),
  batch: withDefault("--batch <n>", "tokens of a batch", integer(2), 2048),
  accumulate: withDefault("--accumulate <n>", "batches of a step", integer(1), 1),
  context: optional("--context <n>", "tokens of a document (default: 256)", integer(2)),
  rate: withDefault("--rate <r>", "highest learning rate", decimal(1e-12), 1e-3),
  schedule: choice("--schedule <name>", "how the rate falls", scheduleNames, "cosine"),
  warmup: withDefault("--warmup <n>", "steps in which the rate rises", integer(0), 10),
  weightDecay: withDefault("--weight-decay <r>", "decay of matrices", decimal(0), 0),
  clip: withDefault("--clip <norm>", "largest norm of a gradient, 0 for any", decimal(0), 1),
  train: choice<ParameterPattern & string>(
    "--train <what>",
    "parameters that change",
    patternNames,
    "all",
  ),
  rank: withDefault("--rank <n>", "rank of adapters", integer(1), 8),
  storage: choice("--storage <type>", "weights in the forward pass", ["f32", "bf16"], "f32"),
  recompute: toggle("--recompute", "keep less memory: compute every layer twice"),
  seed: withDefault("--seed <n>", "order of the data", integer(0), 0),
  dtype: choice(
    "--dtype <type>",
    "numbers in the output",
    ["stored", "f32", "f16", "bf16"],
    "stored",
  ),
  validateEvery: withDefault("--validate-every <n>", "steps between measurements", integer(1), 50),
  saveEvery: withDefault("--save-every <n>", "steps between states to resume from", integer(1), 50),
  resume: toggle("--resume", "go on with an interrupted run into the same folder"),
  dryRun: toggle("--dry-run", "check everything and print the plan, write nothing"),
  report: optional("--report <file.html>", "curves of the run, as a page", filled),
};

export type TrainingFlags = FlagValues<typeof trainingFlags>;
