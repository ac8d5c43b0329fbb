import { GenerationError } from "./errors";

/** How the next token is chosen. Without any option: greedily. */
export interface SamplingOptions {
  /** Divides the logits; 0 chooses the largest logit (default 0). */
  readonly temperature?: number | undefined;
  /** Only the `topK` most probable tokens; 0 is no limit (default 0). */
  readonly topK?: number | undefined;
  /** Only the most probable tokens that together reach this probability (default 1; Holtzman et al., arXiv 1904.09751). */
  readonly topP?: number | undefined;
  /** Only tokens at least this fraction as probable as the best one (default 0; Nguyen et al., arXiv 2407.01082). */
  readonly minP?: number | undefined;
  /** Divides positive and multiplies negative logits of tokens seen before (default 1; Keskar et al., arXiv 1909.05858). */
  readonly repetitionPenalty?: number | undefined;
  /** Taken from the logit of every token that was generated before, once (default 0; OpenAI's definition). */
  readonly presencePenalty?: number | undefined;
  /** Taken from the logit of a token as often as it was generated before (default 0; OpenAI's definition). */
  readonly frequencyPenalty?: number | undefined;
  /** Added to logits, by token id; `-Infinity` bans a token (default: nothing). */
  readonly logitBias?: Readonly<Record<number, number>> | undefined;
  /** Equal seeds give equal choices: a safe integer from 0 on (default: random). */
  readonly seed?: number | undefined;
}

/** Options with every default filled in; the seed belongs to the random stream. */
export type CheckedSampling = Omit<
  { readonly [Name in keyof SamplingOptions]-?: NonNullable<SamplingOptions[Name]> },
  "seed"
>;

interface Rule {
  readonly fallback: number;
  readonly expected: string;
  readonly accepts: (value: number) => boolean;
}

const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;
const isFraction = (value: number) => value >= 0 && value <= 1;

const fraction = (fallback: number): Rule => ({
  fallback,
  expected: "between 0 and 1",
  accepts: isFraction,
});
const count = (expected: string): Rule => ({ fallback: 0, expected, accepts: isCount });
const finite: Rule = { fallback: 0, expected: "a finite number", accepts: Number.isFinite };

/** Every option that is a number. A new one is one entry. */
const rules = {
  temperature: {
    fallback: 0,
    expected: "a number from 0 on",
    accepts: (value: number) => Number.isFinite(value) && value >= 0,
  },
  topK: count("a whole number from 0 on"),
  topP: fraction(1),
  minP: fraction(0),
  repetitionPenalty: {
    fallback: 1,
    expected: "above 0",
    accepts: (value: number) => Number.isFinite(value) && value > 0,
  },
  presencePenalty: finite,
  frequencyPenalty: finite,
  seed: count("a whole number from 0 to 2^53 - 1"),
} satisfies Readonly<Record<Exclude<keyof SamplingOptions, "logitBias">, Rule>>;

/** Fills in the defaults. Throws GenerationError `InvalidOption`. */
export function checkSampling(options: SamplingOptions): CheckedSampling {
  const number = (name: keyof typeof rules) => {
    const { fallback, expected, accepts } = rules[name];
    const value = options[name] ?? fallback;
    if (typeof value === "number" && accepts(value)) return value;
    throw invalid(name, `must be ${expected}, got ${value}`, value);
  };
  number("seed");
  return {
    temperature: number("temperature"),
    topK: number("topK"),
    topP: number("topP"),
    minP: number("minP"),
    repetitionPenalty: number("repetitionPenalty"),
    presencePenalty: number("presencePenalty"),
    frequencyPenalty: number("frequencyPenalty"),
    logitBias: checkBias(options.logitBias ?? {}),
  };
}

function checkBias(bias: Readonly<Record<number, number>>): Readonly<Record<number, number>> {
  for (const [token, value] of Object.entries(bias)) {
    const isNumber = typeof value === "number" && (Number.isFinite(value) || value === -Infinity);
    if (/^\d+$/.test(token) && isNumber) continue;
    throw invalid("logitBias", `must map token ids to numbers, got ${token}: ${value}`, value);
  }
  return bias;
}

function invalid(option: string, problem: string, value: unknown): GenerationError {
  return new GenerationError("InvalidOption", `${option} ${problem}.`, { option, value });
}
