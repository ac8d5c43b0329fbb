import { fileURLToPath } from "node:url";
import { calibrationTextUrl, evaluationTextUrl } from "@transmla/sample-model";
import type { Tokenizer } from "@transmla/generation";
import { fileSource } from "@transmla/tensor-io";
import { CliError, usage } from "./errors";
import { SAMPLE, type LocatedModel } from "./model-location";

/** Bytes of text that are read at most: beyond this a JavaScript string and its tokens grow out of hand. */
const MAX_TEXT_BYTES = 256 << 20;

const sampleTexts = {
  calibration: { flag: "--calibration", url: calibrationTextUrl },
  evaluation: { flag: "--text", url: evaluationTextUrl },
} as const;

/** The text of a file, or one of those that come with the sample model for the word `sample`. */
export function namedText(
  kind: keyof typeof sampleTexts,
  file: string,
  signal: AbortSignal,
): Promise<string> {
  return readText(file === SAMPLE ? fileURLToPath(sampleTexts[kind].url()) : file, signal);
}

/**
 * The text that a flag names. `sample` is the one that comes with the embedded model, which is also what the embedded model is
 * given when the flag is left out.
 *
 * @throws CliError `Usage`, `TextNotUtf8`, `TextTooLarge`; TensorIoError for a file that cannot be read
 */
export async function textFor(
  kind: keyof typeof sampleTexts,
  named: string | undefined,
  model: LocatedModel,
  signal: AbortSignal,
): Promise<string> {
  const { flag } = sampleTexts[kind];
  const file = named ?? (model.isSample ? SAMPLE : undefined);
  if (file === undefined)
    throw usage(`${flag} FILE is needed: a text to measure ${model.name} on.`, { flag });
  return namedText(kind, file, signal);
}

async function readText(path: string, signal: AbortSignal): Promise<string> {
  const source = await fileSource(path);
  try {
    if (source.size > MAX_TEXT_BYTES) {
      throw new CliError(
        "TextTooLarge",
        `${path} has ${source.size} bytes; at most ${MAX_TEXT_BYTES} are read. Give a part of it.`,
        { path, bytes: source.size, limit: MAX_TEXT_BYTES },
      );
    }
    return decodeUtf8(await source.read(0, source.size, signal), path);
  } finally {
    await source.close();
  }
}

function decodeUtf8(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new CliError("TextNotUtf8", `${path} is not UTF-8 text.`, { path }, { cause });
  }
}

/** The tokens of a text, as the model's tokenizer begins and splits it. Throws CliError `TextTooShort`. */
export function tokensOf(text: string, tokenizer: Tokenizer, least: number): Int32Array {
  const tokens = tokenizer.encode(text);
  if (tokens.length >= least) return tokens;
  throw new CliError(
    "TextTooShort",
    `the text is too short: need ${least} tokens, got ${tokens.length}.`,
    {
      need: least,
      got: tokens.length,
    },
  );
}
