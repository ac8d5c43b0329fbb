import { packBatch, type Batch, type Document } from "./batch";
import { TrainingError } from "./errors";
import { shuffled } from "./random";

/** Texts to learn from, each read when it is asked for. */
export interface DocumentSource {
  readonly count: number;
  read(index: number): Promise<Document>;
}

/**
 * A text as documents of `context` predictions each: windows of `context + 1` tokens, the last of a window being the first
 * of the next. A last window with two tokens or more counts.
 *
 * @throws TrainingError `TooLittleText`, `InvalidOption`
 */
export function textDocuments(tokens: Int32Array, context: number): DocumentSource {
  checkCount("context", context, 1);
  if (tokens.length < 2) {
    throw new TrainingError(
      "TooLittleText",
      `The text has ${tokens.length} tokens, at least 2 are needed.`,
      { tokens: tokens.length, needed: 2 },
    );
  }
  const count = Math.ceil((tokens.length - 1) / context);
  return {
    count,
    read: async (index) => ({
      tokens: tokens.subarray(index * context, (index + 1) * context + 1),
    }),
  };
}

/** Documents in memory. */
export const documentList = (documents: readonly Document[]): DocumentSource => ({
  count: documents.length,
  read: async (index) => documents[index]!,
});

/** Where a run stands in its data. */
export interface DataPosition {
  readonly epoch: number;
  /** Documents of the epoch that were used. */
  readonly used: number;
}

export interface BatchOptions {
  /** Most predictions of a batch; a longer document is cut there. */
  readonly tokens: number;
  readonly seed: number;
}

/** Packs documents into batches, epoch after epoch, in an order that depends on the seed only. */
export class BatchStream {
  #position: DataPosition = { epoch: 0, used: 0 };
  #order: { readonly epoch: number; readonly indices: Int32Array } | undefined;
  /** A document that did not fit the last batch. */
  #next: { readonly index: number; readonly document: Document } | undefined;

  /** @throws TrainingError `TooLittleText`, `InvalidOption` */
  constructor(
    readonly source: DocumentSource,
    private readonly options: BatchOptions,
  ) {
    checkCount("tokens of a batch", options.tokens, 1);
    checkCount("seed", options.seed, 0);
    if (source.count > 0) return;
    throw new TrainingError("TooLittleText", "The data has no documents.", { documents: 0 });
  }

  /** Where the next batch begins. Setting it repeats or skips documents. */
  get position(): DataPosition {
    return this.#position;
  }

  set position(position: DataPosition) {
    this.#position = position;
    this.#next = undefined;
  }

  /** The first document of the data, whatever the order and the position. */
  async first(): Promise<Batch> {
    return packBatch([cut(await this.source.read(0), this.options.tokens)], [0]);
  }

  /** The next documents that fit, at least one. */
  async next(): Promise<Batch> {
    const documents: Document[] = [];
    const origins: number[] = [];
    let total = 0;
    for (;;) {
      const { index, document } = (this.#next ??= await this.#read());
      const predictions = document.tokens.length - 1;
      if (total > 0 && total + predictions > this.options.tokens) break;
      documents.push(document);
      origins.push(index);
      total += predictions;
      this.#advance();
    }
    return packBatch(documents, origins);
  }

  async #read(): Promise<{ readonly index: number; readonly document: Document }> {
    const { epoch, used } = this.#position;
    if (this.#order?.epoch !== epoch) {
      const indices = shuffled(this.source.count, this.options.seed, epoch);
      this.#order = { epoch, indices };
    }
    const index = this.#order.indices[used]!;
    return { index, document: cut(await this.source.read(index), this.options.tokens) };
  }

  #advance(): void {
    const { epoch, used } = this.#position;
    this.#next = undefined;
    this.#position =
      used + 1 < this.source.count ? { epoch, used: used + 1 } : { epoch: epoch + 1, used: 0 };
  }
}

/** The beginning of a document: at most so many predictions. */
const cut = ({ tokens, weights }: Document, predictions: number): Document => ({
  tokens: tokens.subarray(0, predictions + 1),
  weights: weights?.subarray(0, predictions + 1),
});

export function checkCount(option: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new TrainingError(
    "InvalidOption",
    `${option} must be a whole number from ${least}, got ${value}.`,
    { option, value, least },
  );
}
