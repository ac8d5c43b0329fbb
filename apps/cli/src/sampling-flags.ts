import { decimal, integer, optional, text, withDefault } from "./flags";

/** How tokens are chosen: the flags of every command that writes text. */
export const samplingFlags = {
  temperature: withDefault("--temperature <t>", "0 takes the likeliest token", decimal(0), 0),
  topK: withDefault("--top-k <n>", "only the likeliest tokens; 0 is no limit", integer(0), 0),
  topP: withDefault("--top-p <p>", "only tokens that reach this probability", decimal(0, 1), 1),
  minP: withDefault("--min-p <p>", "only tokens this near to the likeliest", decimal(0, 1), 0),
  repetitionPenalty: withDefault(
    "--repetition-penalty <r>",
    "above 1 avoids tokens seen before",
    decimal(Number.MIN_VALUE),
    1,
  ),
  seed: optional("--seed <n>", "equal seeds give equal text (default: random)", integer(0)),
  stop: {
    flags: "--stop <text>",
    description: "text that ends it; may be given several times",
    parse: text,
    fallback: [] as readonly string[],
    repeatable: true,
  },
} as const;
