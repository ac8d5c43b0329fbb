import type { ModelConfig } from "@transmla/models";
import { usage } from "./errors";

/** Tokens of an evaluation window unless the user says otherwise. */
const DEFAULT_CONTEXT = 512;

/** The window of an evaluation: as wanted, or 512 where the models can see that far. Throws CliError `Usage`. */
export function windowOf(wanted: number | undefined, models: readonly ModelConfig[]): number {
  const positions = Math.min(...models.map(({ maxPositions }) => maxPositions));
  if (wanted === undefined) return Math.min(DEFAULT_CONTEXT, positions);
  if (wanted <= positions) return wanted;
  throw usage(`--context ${wanted} is more than the ${positions} tokens the model can see.`, {
    context: wanted,
    positions,
  });
}
