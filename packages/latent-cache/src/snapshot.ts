import type { CacheStorage, PagePool } from "@transmla/kernels";
import {
  bytesSource,
  openSafetensors,
  planSafetensors,
  sha256,
  TensorIoError,
  type Checkpoint,
  type SafetensorsDType,
  type SafetensorsPlan,
  type TensorSpec,
} from "@transmla/tensor-io";
import type { CacheSequence } from "./cache-sequence";
import { LatentCacheError } from "./errors";
import type { PagedCache } from "./paged-cache";

const FORMAT = "transmla-cache";
const VERSION = "1";
/** Stands for the hash while it is made. */
const NO_HASH = "0".repeat(64);

/** Rows as they are stored; bytes with their scale in front are bytes. */
const dtypes: Readonly<Record<CacheStorage, SafetensorsDType>> = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  i8: "U8",
};

/** One plane of one layer, as a tensor of a snapshot. */
interface PlaneTensor {
  readonly spec: TensorSpec;
  readonly pool: PagePool;
}

/**
 * A sequence as the bytes of a safetensors file: its token ids (`tokens`, `[tokens]`) and, for every layer and plane, its rows as
 * they are stored (`layers.0.latents`, `[tokens, width]`; `i8` rows as `U8`, each behind the float32 scale it begins with). The
 * metadata names format, version, the model's fingerprint and a SHA-256 over everything else in the file. Nothing is rounded:
 * what is restored continues as the sequence itself would.
 *
 * @param fingerprint of the model, such as `Model.fingerprint` gives
 * @throws LatentCacheError `UnknownTokens`, `InvalidArgument` for a sequence without tokens
 */
export async function saveSequence(
  cache: PagedCache,
  sequence: CacheSequence,
  fingerprint: string,
): Promise<Uint8Array> {
  const tokens = sequence.tokenIds.slice();
  if (tokens.length === 0) {
    throw new LatentCacheError("InvalidArgument", "A sequence without tokens cannot be saved.");
  }
  const planes = planeTensors(cache, tokens.length);
  const slots = slotsOf(cache, sequence.pages, tokens.length);
  const rows = new Map<string, Uint8Array>([["tokens", littleEndian(tokens)]]);
  for (const { spec, pool } of planes) {
    rows.set(spec.name, await cache.device.readStoredPages(pool, slots));
  }
  const specs = [tokensSpec(tokens.length), ...planes.map(({ spec }) => spec)];
  const unsigned = planSafetensors(specs, metadataOf(fingerprint, NO_HASH));
  const bytes = new Uint8Array(unsigned.byteLength);
  for (const { name, begin } of unsigned.tensors) bytes.set(rows.get(name)!, begin);
  bytes.set(unsigned.header);
  const hash = await sha256(bytes);
  bytes.set(planSafetensors(specs, metadataOf(fingerprint, hash)).header);
  return bytes;
}

/** A snapshot that was checked and belongs to a cache. */
export interface Snapshot {
  /** `[tokens]` */
  readonly tokens: Int32Array;
  /** The sequence that it holds. Pages of the same tokens that the cache has already are shared. Throws `CacheFull`. */
  open(): CacheSequence;
}

/**
 * Reads what `saveSequence` wrote, for a cache of the same planes and storages on whatever device.
 *
 * @throws LatentCacheError `InvalidSnapshot` for what is none or was changed, `SnapshotMismatch` for one of another model or
 *   another kind of cache
 */
export async function readSnapshot(
  cache: PagedCache,
  bytes: Uint8Array,
  fingerprint: string,
): Promise<Snapshot> {
  const checkpoint = await openSnapshot(bytes);
  const { metadata } = checkpoint;
  checkMetadata(metadata, fingerprint);
  const count = checkpoint.tensors.get("tokens")?.shape[0] ?? 0;
  const planes = planeTensors(cache, count);
  const specs = [tokensSpec(count), ...planes.map(({ spec }) => spec)];
  checkTensors(checkpoint, specs);
  await checkHash(bytes, specs, metadata.get("sha256") ?? "", fingerprint);

  const tokens = fromLittleEndian(await checkpoint.readBytes("tokens"));
  const rows = await Promise.all(planes.map(({ spec }) => checkpoint.readBytes(spec.name)));
  const open = (): CacheSequence => {
    const sequence = cache.open(tokens);
    const known = sequence.length;
    if (known === count) return sequence;
    try {
      const slots = sequence.append(tokens.subarray(known));
      for (const [i, { pool }] of planes.entries()) {
        const plane = rows[i]!;
        cache.device.writeStoredPages(pool, slots, plane.subarray((plane.length / count) * known));
      }
      return sequence;
    } catch (error) {
      sequence.release();
      throw error;
    }
  };
  return { tokens, open };
}

function planeTensors(cache: PagedCache, tokens: number): PlaneTensor[] {
  return cache.layers.flatMap((planes, layer) =>
    planes.map(({ name }, plane) => {
      const pool = cache.pool(layer)[plane]!;
      const { storage } = pool;
      const width = storage === "i8" ? 4 + pool.width : pool.width;
      const shape = [tokens, width];
      return { pool, spec: { name: `layers.${layer}.${name}`, dtype: dtypes[storage], shape } };
    }),
  );
}

function tokensSpec(tokens: number): TensorSpec {
  return { name: "tokens", dtype: "I32", shape: [tokens] };
}

function metadataOf(fingerprint: string, hash: string): Record<string, string> {
  return { format: FORMAT, version: VERSION, fingerprint, sha256: hash };
}

function slotsOf({ pageTokens }: PagedCache, pages: Int32Array, length: number): Int32Array {
  return Int32Array.from(
    { length },
    (_, n) => pages[Math.floor(n / pageTokens)]! * pageTokens + (n % pageTokens),
  );
}

function littleEndian(integers: Int32Array): Uint8Array {
  const bytes = new Uint8Array(4 * integers.length);
  const view = new DataView(bytes.buffer);
  integers.forEach((value, i) => view.setInt32(4 * i, value, true));
  return bytes;
}

function fromLittleEndian(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Int32Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(4 * i, true));
}

async function openSnapshot(bytes: Uint8Array): Promise<Checkpoint> {
  try {
    return await openSafetensors(bytesSource(bytes, "snapshot"));
  } catch (cause) {
    if (!TensorIoError.isInstance(cause)) throw cause;
    throw invalid(`it is no whole safetensors file (${cause.message})`, cause);
  }
}

function checkMetadata(metadata: ReadonlyMap<string, string>, fingerprint: string): void {
  if (metadata.get("format") !== FORMAT) throw invalid("its metadata do not name the format");
  const version = metadata.get("version");
  if (version !== VERSION)
    throw invalid(`its version is ${version}, this package reads ${VERSION}`);
  const theirs = metadata.get("fingerprint");
  if (theirs === fingerprint) return;
  throw new LatentCacheError(
    "SnapshotMismatch",
    "The snapshot was made with another model, or with weights of another precision. Compute the text anew.",
    { expected: fingerprint, actual: theirs },
  );
}

function checkTensors({ tensors }: Checkpoint, specs: readonly TensorSpec[]): void {
  for (const { name, dtype, shape } of specs) {
    const info = tensors.get(name);
    if (info && info.dtype === dtype && info.shape.join() === shape.join()) continue;
    const found = info ? `${info.dtype} [${info.shape.join(", ")}]` : "nothing";
    throw otherKind(`of ${name} it has ${found}, the cache keeps ${dtype} [${shape.join(", ")}]`);
  }
  if (tensors.size > specs.length) throw otherKind("it has more planes");
}

/** The header must be the one that this package writes, to the byte, and all else have the hash that it names. */
async function checkHash(
  bytes: Uint8Array,
  specs: readonly TensorSpec[],
  hash: string,
  fingerprint: string,
): Promise<void> {
  const plan = (digest: string): SafetensorsPlan =>
    planSafetensors(specs, metadataOf(fingerprint, digest));
  const { header } = plan(hash);
  const sameHeader = header.length <= bytes.length && header.every((byte, i) => byte === bytes[i]);
  if (!sameHeader) throw invalid("its header was changed");
  const unsigned = bytes.slice();
  unsigned.set(plan(NO_HASH).header);
  if (hash.length !== NO_HASH.length || (await sha256(unsigned)) !== hash) {
    throw invalid("its content does not have the hash that it names");
  }
}

function otherKind(how: string): LatentCacheError {
  return new LatentCacheError(
    "SnapshotMismatch",
    `The snapshot belongs to a cache of another kind: ${how}.`,
  );
}

function invalid(why: string, cause?: unknown): LatentCacheError {
  return new LatentCacheError(
    "InvalidSnapshot",
    `This is not a snapshot that can be trusted: ${why}.`,
    {},
    { cause },
  );
}
