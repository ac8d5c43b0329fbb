import { TensorIoError } from "../errors";
import type { WritableFolder } from "../folder";
import { checkedByteLength, compareCodePoints, planSafetensors } from "./plan";
import type { SafetensorsPlan, TensorSpec } from "./plan";
import { indexFileName, singleFileName } from "./sharded";
import { TensorWriter } from "../tensor-writer";

export interface ShardingOptions {
  /** Most bytes of tensors in a file, 5,000,000,000 unless given; a larger tensor has a file of its own. */
  readonly maxShardBytes?: number;
  readonly metadata?: ReadonlyMap<string, string> | Readonly<Record<string, string>>;
}

/** One file of a checkpoint. */
export interface ShardPlan {
  readonly file: string;
  readonly plan: SafetensorsPlan;
}

/** The files of a checkpoint and what goes into each. */
export interface ShardedPlan {
  readonly shards: readonly ShardPlan[];
  /** The bytes of `model.safetensors.index.json`; undefined when one file is enough. */
  readonly index: Uint8Array | undefined;
  /** Bytes of all tensors, without headers. */
  readonly totalBytes: number;
}

/**
 * Spreads tensors over files in the order given, as the Hugging Face tools do, so that what is written together stays
 * together. One file is called `model.safetensors`, several `model-00001-of-0000N.safetensors` with an index.
 * @throws TensorIoError the codes of `planSafetensors`
 */
export function planShards(
  specs: Iterable<TensorSpec>,
  options: ShardingOptions = {},
): ShardedPlan {
  const { maxShardBytes = 5_000_000_000, metadata } = options;
  const groups: TensorSpec[][] = [[]];
  const names = new Set<string>();
  let totalBytes = 0;
  let groupBytes = 0;
  for (const spec of specs) {
    if (names.has(spec.name)) {
      throw new TensorIoError("DuplicateTensor", `tensor ${spec.name} is given twice`, {
        tensor: spec.name,
      });
    }
    names.add(spec.name);
    const bytes = checkedByteLength(spec);
    const group = groups[groups.length - 1];
    if (group.length > 0 && groupBytes + bytes > maxShardBytes) {
      groups.push([spec]);
      groupBytes = bytes;
    } else {
      group.push(spec);
      groupBytes += bytes;
    }
    totalBytes += bytes;
  }
  const shards = groups.map((group, i) => ({
    file: shardName(i, groups.length),
    plan: planSafetensors(group, metadata),
  }));
  const index = shards.length > 1 ? indexBytes(shards, totalBytes) : undefined;
  return { shards, index, totalBytes };
}

function shardName(index: number, count: number): string {
  if (count === 1) return singleFileName;
  return `model-${fiveDigits(index + 1)}-of-${fiveDigits(count)}.safetensors`;
}

const fiveDigits = (value: number) => String(value).padStart(5, "0");

/** The text that Python's `json.dumps(index, indent=2, sort_keys=True)` gives, ASCII only, with a final newline. */
function indexBytes(shards: readonly ShardPlan[], totalBytes: number): Uint8Array {
  const entries = shards
    .flatMap(({ file, plan }) => plan.tensors.map(({ name }): [string, string] => [name, file]))
    .toSorted(([a], [b]) => compareCodePoints(a, b));
  const lines = entries.map(([name, file]) => `    ${asciiJson(name)}: ${asciiJson(file)}`);
  const text = `{\n  "metadata": {\n    "total_size": ${totalBytes}\n  },\n  "weight_map": {\n${lines.join(",\n")}\n  }\n}\n`;
  return new TextEncoder().encode(text);
}

function asciiJson(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A checkpoint of one or more files being written into a folder. */
export class ShardedWriter {
  private readonly shardOf: ReadonlyMap<string, ShardPlan>;
  private readonly open = new Map<ShardPlan, TensorWriter>();
  private readonly finished = new Set<ShardPlan>();

  private constructor(
    private readonly folder: WritableFolder,
    private readonly plan: ShardedPlan,
  ) {
    this.shardOf = new Map(
      plan.shards.flatMap((shard) => shard.plan.tensors.map(({ name }) => [name, shard])),
    );
  }

  /**
   * Begins a checkpoint. A folder that has one already is refused, unless `overwrite` is set: then the old commit mark (the
   * index or the single file) is removed first, so that old and new files are never read together.
   * @throws TensorIoError OutputExists
   */
  static async create(
    folder: WritableFolder,
    plan: ShardedPlan,
    options: { readonly overwrite?: boolean } = {},
  ): Promise<ShardedWriter> {
    for (const file of [indexFileName, singleFileName]) {
      if (!(await folder.has(file))) continue;
      if (options.overwrite !== true) {
        throw new TensorIoError(
          "OutputExists",
          `${folder.name}: ${file} exists already; choose an empty folder or ask to overwrite`,
          { folder: folder.name, file },
        );
      }
      await folder.remove(file);
    }
    return new ShardedWriter(folder, plan);
  }

  /**
   * Writes the next bytes of a tensor. A shard gets its name as soon as it is whole; a failure aborts the other shards.
   * @throws TensorIoError TensorNotFound, TensorOverrun, WriteFailed, SinkClosed
   */
  async write(name: string, bytes: Uint8Array): Promise<void> {
    const shard = this.shardOf.get(name);
    if (shard === undefined) {
      throw new TensorIoError("TensorNotFound", `${this.folder.name}: ${name} is not planned`, {
        folder: this.folder.name,
        tensor: name,
      });
    }
    const writer = this.writerOf(shard);
    try {
      await writer.write(name, bytes);
      if (writer.complete && !this.finished.has(shard)) await this.finishShard(shard, writer);
    } catch (cause) {
      await this.abort();
      throw cause;
    }
  }

  /** Writes what is left: shards of empty tensors, then the index. @throws TensorIoError TensorIncomplete, WriteFailed */
  async finish(): Promise<void> {
    try {
      for (const shard of this.plan.shards) {
        if (!this.finished.has(shard)) await this.finishShard(shard, this.writerOf(shard));
      }
    } catch (cause) {
      await this.abort();
      throw cause;
    }
    if (this.plan.index === undefined) return;
    const sink = this.folder.create(indexFileName);
    try {
      await sink.write(0, this.plan.index);
      await sink.commit();
    } catch (cause) {
      await sink.abort();
      throw cause;
    }
  }

  /** Removes every file that is not whole. Whole shards stay, but without an index they are no checkpoint. */
  async abort(): Promise<void> {
    await Promise.all(Array.from(this.open.values(), (writer) => writer.abort()));
  }

  private writerOf(shard: ShardPlan): TensorWriter {
    let writer = this.open.get(shard);
    if (writer === undefined) {
      writer = new TensorWriter(this.folder.create(shard.file), shard.plan);
      this.open.set(shard, writer);
    }
    return writer;
  }

  private async finishShard(shard: ShardPlan, writer: TensorWriter): Promise<void> {
    this.finished.add(shard);
    await writer.finish();
  }
}
