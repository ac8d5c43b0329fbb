import {
  conversationDocuments,
  packBatch,
  textDocuments,
  type Batch,
  type DocumentSource,
} from "@transmla/training";
import { fileSource } from "@transmla/tensor-io";
import type { CommandContext } from "../../command";
import { usage } from "../../errors";
import { tokenizerOf, SAMPLE, type LocatedModel } from "../../model-location";
import { namedText, tokensOf } from "../../text";
import type { TrainingFlags } from "./flags";

const DEFAULT_CONTEXT = 256;

/** Tokens of a document: as wanted, or 256 where the model can see that far. Throws CliError `Usage`. */
export function contextOf(model: LocatedModel, { context, batch }: TrainingFlags): number {
  const { maxPositions } = model.files.config;
  const chosen = context ?? Math.min(DEFAULT_CONTEXT, maxPositions, batch);
  if (chosen > maxPositions) {
    throw usage(`--context ${chosen} is more than the ${maxPositions} tokens the model can see.`, {
      context: chosen,
      maxPositions,
    });
  }
  if (chosen <= batch) return chosen;
  throw usage(`--context ${chosen} does not fit into --batch ${batch}.`, {
    context: chosen,
    batch,
  });
}

/** Data that is learnt from. Conversations keep their file open until `close`. */
export interface TrainingData {
  readonly documents: DocumentSource;
  readonly name: string;
  close(): Promise<void>;
}

/**
 * What the flags name; the sample model learns from its own text unless they name another.
 *
 * @throws CliError `Usage`, `TextTooShort` and those of reading texts; TrainingError `InvalidData`
 */
export async function trainingData(
  { signal }: CommandContext,
  model: LocatedModel,
  flags: TrainingFlags,
): Promise<TrainingData> {
  const { data, text = model.isSample && !data ? SAMPLE : undefined } = flags;
  if ((text === undefined) === (data === undefined)) {
    throw usage("give either --text FILE or --data FILE.jsonl to learn from.", { text, data });
  }
  const context = contextOf(model, flags);
  const tokenizer = await tokenizerOf(model);
  if (text !== undefined) {
    const tokens = tokensOf(await namedText("calibration", text, signal), tokenizer, 2);
    return { documents: textDocuments(tokens, context), name: text, close: async () => {} };
  }
  const source = await fileSource(data!);
  try {
    const endToken = model.files.config.eosTokenIds[0];
    const options = { context, endToken, signal };
    const documents = await conversationDocuments(source, tokenizer, options);
    return { documents, name: data!, close: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Most tokens that are measured on, so that measuring stays short beside training. */
const VALIDATION_TOKENS = 8192;

/** Held-out documents, one to a batch; nothing without `--validation`. */
export async function validationData(
  { signal }: CommandContext,
  model: LocatedModel,
  flags: TrainingFlags,
): Promise<Batch[] | undefined> {
  const { validation } = flags;
  if (validation === undefined) return undefined;
  const text = await namedText("evaluation", validation, signal);
  const tokens = tokensOf(text, await tokenizerOf(model), 2).subarray(0, VALIDATION_TOKENS);
  const source = textDocuments(tokens, contextOf(model, flags));
  const batches: Batch[] = [];
  for (let i = 0; i < source.count; i++) batches.push(packBatch([await source.read(i)]));
  return batches;
}
