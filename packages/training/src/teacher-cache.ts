import type { Tensor, TrainingDevice } from "@transmla/kernels";
import {
  openSafetensors,
  planSafetensors,
  TensorWriter,
  type ByteSink,
  type ByteSource,
  type Checkpoint,
} from "@transmla/tensor-io";
import { packBatch, type Batch, type Document } from "./batch";
import { checkCount, type DocumentSource } from "./documents";
import { TrainingError } from "./errors";
import type { Teacher } from "./teacher";

const FORMAT = "transmla-teacher-1";

export interface TeacherCacheOptions {
  /** Logits kept of every token, the largest. */
  readonly topK: number;
  /** Who the teacher is: a cache of another is refused. */
  readonly name: string;
  readonly onProgress?:
    | ((progress: { readonly done: number; readonly total: number; readonly unit: string }) => void)
    | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a cache was made from. */
interface CacheHeader {
  readonly name: string;
  readonly vocabSize: number;
  /** Of the tokens of all documents. */
  readonly hash: string;
}

/**
 * Asks a teacher once about every document and writes, for every prediction, its `topK` largest logits and the logarithm of
 * the mean of the exponentials of all others: `8 * topK + 4` bytes a token.
 *
 * @throws TrainingError `InvalidOption`; what reading the documents and writing throws; the signal's reason
 */
export async function writeTeacherCache(
  sink: ByteSink,
  teacher: Teacher,
  device: TrainingDevice,
  vocabSize: number,
  documents: DocumentSource,
  { topK, name, onProgress, signal }: TeacherCacheOptions,
): Promise<void> {
  checkCount("topK", topK, 1);
  const kept = Math.min(topK, vocabSize - 1);
  const { starts, hash } = await survey(documents, signal);
  const tokens = starts.at(-1)!;
  const header: CacheHeader = { name, vocabSize, hash };
  const plan = planSafetensors(
    [
      { name: "starts", dtype: "I32", shape: [starts.length] },
      { name: "tokens", dtype: "I32", shape: [tokens, kept] },
      { name: "logits", dtype: "F32", shape: [tokens, kept] },
      { name: "rest", dtype: "F32", shape: [tokens] },
    ],
    { format: FORMAT, header: JSON.stringify(header) },
  );
  const writer = new TensorWriter(sink, plan);
  try {
    await writer.write("starts", bytesOf(starts));
    for (let i = 0; i < documents.count; i++) {
      signal?.throwIfAborted();
      const batch = packBatch([await documents.read(i)]);
      const logits = await readLogits(device, teacher, batch);
      const rows = largest(logits, vocabSize, kept);
      await writer.write("tokens", bytesOf(rows.tokens));
      await writer.write("logits", bytesOf(rows.logits));
      await writer.write("rest", bytesOf(rows.rest));
      onProgress?.({ done: i + 1, total: documents.count, unit: "documents" });
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/**
 * A teacher that is read from a file instead of computed: the tokens that were kept have their logits, all others share what
 * was left of the probability. It knows nothing of attention, and nothing of documents it was not asked about.
 *
 * @throws TrainingError `InvalidCheckpoint` for what is no such file, `SettingsChanged` for another teacher or other data
 */
export async function openTeacherCache(
  source: ByteSource,
  documents: DocumentSource,
  { name, vocabSize, signal }: { name: string; vocabSize: number; signal?: AbortSignal },
): Promise<Teacher> {
  const checkpoint = await openSafetensors(source);
  const header = headerOf(checkpoint, source.name);
  const { hash } = await survey(documents, signal);
  const found = { name: header.name, vocabSize: header.vocabSize, hash: header.hash };
  const wanted: CacheHeader = { name, vocabSize, hash };
  const changed = (["name", "vocabSize", "hash"] as const).filter(
    (key) => found[key] !== wanted[key],
  );
  if (changed.length > 0) {
    throw new TrainingError(
      "SettingsChanged",
      `${source.name} is of another teacher or other data (${changed.join(", ")}). Remove it to have it made anew.`,
      { file: source.name, changed },
    );
  }
  const starts = integersOf(await checkpoint.readBytes("starts"));
  return new CachedTeacher(checkpoint, starts, vocabSize);
}

interface CachedRows {
  readonly tokens: Int32Array;
  readonly logits: Float32Array;
  readonly rest: Float32Array;
}

class CachedTeacher implements Teacher {
  #prepared: { readonly batch: Batch; readonly rows: CachedRows } | undefined;

  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly starts: Int32Array,
    private readonly vocabSize: number,
  ) {}

  /** Reads what was kept of the batch's documents. */
  async prepare(batch: Batch): Promise<void> {
    const ranges = Array.from(batch.documents, (first, i): [number, number] => {
      const count = (batch.documents[i + 1] ?? batch.ids.length) - first;
      const start = this.starts[batch.origins[i]!]!;
      return [start, start + count];
    });
    const read = async (name: string) => {
      const pieces: Uint8Array[] = [];
      for (const rows of ranges) pieces.push(await this.checkpoint.readBytes(name, { rows }));
      return joined(pieces);
    };
    const rows = {
      tokens: integersOf(await read("tokens")),
      logits: floatsOf(await read("logits")),
      rest: floatsOf(await read("rest")),
    };
    this.#prepared = { batch, rows };
  }

  logits(batch: Batch) {
    if (this.#prepared?.batch !== batch) {
      throw new TrainingError("InvalidOption", "A cached teacher is prepared for a batch first.");
    }
    const { tokens, logits, rest } = this.#prepared.rows;
    const { vocabSize } = this;
    const kept = tokens.length / rest.length;
    return {
      rows: (device: TrainingDevice, rows: Int32Array): Tensor => {
        const values = new Float32Array(rows.length * vocabSize);
        for (const [i, row] of rows.entries()) {
          values.fill(rest[row]!, i * vocabSize, (i + 1) * vocabSize);
          for (let j = row * kept; j < (row + 1) * kept; j++) {
            values[i * vocabSize + tokens[j]!] = logits[j]!;
          }
        }
        return device.tensor(values, [rows.length, vocabSize]);
      },
    };
  }

  visitAttention(): never {
    throw new TrainingError(
      "InvalidOption",
      "A cached teacher has no attention to compare; use the model itself.",
    );
  }
}

function headerOf({ metadata }: Checkpoint, file: string): CacheHeader {
  try {
    if (metadata.get("format") !== FORMAT) throw new Error("another format");
    return JSON.parse(metadata.get("header")!) as CacheHeader;
  } catch (cause) {
    const message = `${file} holds no logits of a teacher, or those of another version.`;
    throw new TrainingError("InvalidCheckpoint", message, { file }, { cause });
  }
}

/** Where the predictions of every document begin, and a hash of all tokens (FNV-1a, 32 bits). */
async function survey(
  documents: DocumentSource,
  signal: AbortSignal | undefined,
): Promise<{ readonly starts: Int32Array; readonly hash: string }> {
  const starts = new Int32Array(documents.count + 1);
  let hash = 0x811c9dc5;
  for (let i = 0; i < documents.count; i++) {
    signal?.throwIfAborted();
    const { tokens }: Document = await documents.read(i);
    starts[i + 1] = starts[i]! + tokens.length - 1;
    for (const token of tokens) hash = Math.imul(hash ^ token, 0x01000193);
    hash = Math.imul(hash ^ -1, 0x01000193);
  }
  return { starts, hash: (hash >>> 0).toString(16) };
}

/** All logits of a batch of one document, some rows at a time. */
async function readLogits(device: TrainingDevice, teacher: Teacher, batch: Batch) {
  const tensor = device.scope(() => {
    const all = Int32Array.from(batch.ids, (_, row) => row);
    return teacher.logits(batch).rows(device, all);
  });
  try {
    return await device.read(tensor);
  } finally {
    device.release(tensor);
  }
}

/** The largest logits of every row, and what is left. */
function largest(logits: Float32Array, vocabSize: number, kept: number): CachedRows {
  const count = logits.length / vocabSize;
  const rows = {
    tokens: new Int32Array(count * kept),
    logits: new Float32Array(count * kept),
    rest: new Float32Array(count),
  };
  for (let t = 0; t < count; t++) {
    const row = logits.subarray(t * vocabSize, (t + 1) * vocabSize);
    const order = Int32Array.from(row, (_, i) => i).toSorted((a, b) => row[b]! - row[a]! || a - b);
    rows.tokens.set(order.subarray(0, kept), t * kept);
    for (let j = 0; j < kept; j++) rows.logits[t * kept + j] = row[order[j]!]!;
    const top = row[order[0]!]!;
    const sum = order.subarray(kept).reduce((total, i) => total + Math.exp(row[i]! - top), 0);
    rows.rest[t] = Math.max(top + Math.log(sum / (vocabSize - kept)), -1e30);
  }
  return rows;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array | Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const integersOf = (bytes: Uint8Array): Int32Array => new Int32Array(bytes.slice().buffer);
const floatsOf = (bytes: Uint8Array): Float32Array => new Float32Array(bytes.slice().buffer);

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
