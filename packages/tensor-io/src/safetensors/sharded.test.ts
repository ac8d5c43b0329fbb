import { describe, expect, onTestFinished, test } from "vitest";
import { folder as diskFolder } from "../folder-node";
import { memoryFolder } from "../folder";
import { memorySink } from "../sink";
import { expectCode, goldenBytes, goldenJson, goldenPath } from "../test-support";
import { planSafetensors, type TensorSpec } from "./plan";
import { openSafetensorsFolder } from "./sharded";
import { writeSafetensors } from "./write";
import { planShards, ShardedWriter } from "./write-sharded";

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

async function shard(...names: string[]): Promise<Uint8Array> {
  const sink = memorySink();
  const tensors = Object.fromEntries(names.map((name, i) => [name, Float32Array.of(i)]));
  await writeSafetensors(sink, tensors, { metadata: { format: "pt", first: names[0] } });
  return sink.bytes();
}

/** Two shards, x with a and b, y with c; `change` spoils the files. */
async function twoShards(
  change: (files: Map<string, Uint8Array>) => void | Promise<void> = () => {},
) {
  const files = new Map([
    ["x.safetensors", await shard("a", "b")],
    ["y.safetensors", await shard("c")],
  ]);
  setIndex(files, { a: "x.safetensors", b: "x.safetensors", c: "y.safetensors" });
  await change(files);
  return openSafetensorsFolder(memoryFolder(files, "m"));
}

function setIndex(files: Map<string, Uint8Array>, weightMap: Record<string, unknown>): void {
  files.set("model.safetensors.index.json", encode({ metadata: {}, weight_map: weightMap }));
}

describe("reading", () => {
  test("a checkpoint that the Hugging Face tools sharded", async () => {
    const order = await goldenJson<TensorSpec[]>("sharded-order.json");
    const checkpoint = await openSafetensorsFolder(diskFolder(goldenPath("sharded")));
    onTestFinished(() => checkpoint.close());
    expect(new Set(checkpoint.tensors.keys())).toEqual(new Set(order.map(({ name }) => name)));
    for (const { name, dtype, shape } of order) {
      expect(checkpoint.tensors.get(name)).toMatchObject({ dtype, shape });
    }
    expect(checkpoint.tensors.get("lm_head.weight")?.file).toBe("model-00004-of-00004.safetensors");
    expect(checkpoint.metadata).toEqual(new Map([["format", "pt"]]));
    await checkpoint.close();
    await expectCode("SourceClosed", () => checkpoint.readBytes("lm_head.weight"));
  });

  test("two shards with their metadata", async () => {
    const checkpoint = await twoShards();
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "b", "c"]);
    expect(await checkpoint.read("b", { as: "f32" })).toEqual(Float32Array.of(1));
    expect(Object.fromEntries(checkpoint.metadata)).toEqual({ format: "pt", first: "a" });
  });

  test("one file goes before an index", async () => {
    const checkpoint = await twoShards(async (files) => {
      files.set("model.safetensors", await shard("only"));
    });
    expect([...checkpoint.tensors.keys()]).toEqual(["only"]);
  });

  test("NoCheckpoint", async () => {
    await expectCode("NoCheckpoint", () => openSafetensorsFolder(memoryFolder()));
  });
});

describe("shards that disagree with the index", () => {
  test("MissingShard lists what is missing", async () => {
    const error = await expectCode("MissingShard", () =>
      twoShards((files) => void files.delete("y.safetensors")),
    );
    expect(error.context).toEqual({ folder: "m", missing: ["y.safetensors"] });
  });

  test("TensorInWrongShard", async () => {
    const error = await expectCode("TensorInWrongShard", () =>
      twoShards((files) =>
        setIndex(files, { a: "x.safetensors", b: "y.safetensors", c: "y.safetensors" }),
      ),
    );
    expect(error.context["differences"]).toEqual([
      "b listed in y.safetensors, found in x.safetensors",
    ]);
  });

  test("TensorInTwoShards", async () => {
    const error = await expectCode("TensorInTwoShards", () =>
      twoShards(async (files) => void files.set("y.safetensors", await shard("b", "c"))),
    );
    expect(error.message).toContain("b in x.safetensors and y.safetensors");
  });

  test("TensorNotInShard and TensorNotInIndex", async () => {
    const all = { a: "x.safetensors", b: "x.safetensors", c: "y.safetensors" };
    await expectCode("TensorNotInShard", () =>
      twoShards((files) => setIndex(files, { ...all, d: "y.safetensors" })),
    );
    const { b: _, ...some } = all;
    await expectCode("TensorNotInIndex", () => twoShards((files) => setIndex(files, some)));
  });

  test("a broken shard is named", async () => {
    const error = await expectCode("MetadataIncompleteBuffer", () =>
      twoShards((files) => {
        const bytes = files.get("y.safetensors") as Uint8Array;
        files.set("y.safetensors", bytes.subarray(0, -1));
      }),
    );
    expect(error.message).toMatch(/^y\.safetensors: /);
  });
});

describe("indexes that are refused", () => {
  test.each([
    ["no JSON", "{"],
    ["a duplicate key", '{"weight_map":{"a":"x.safetensors","a":"x.safetensors"}}'],
    ["no weight_map", "{}"],
    ["a list", "[]"],
    ["a number for a shard", '{"weight_map":{"a":1}}'],
  ])("InvalidIndex: %s", async (_, text) => {
    await expectCode("InvalidIndex", () =>
      twoShards(
        (files) => void files.set("model.safetensors.index.json", new TextEncoder().encode(text)),
      ),
    );
  });

  test("InvalidIndex: not UTF-8, too large", async () => {
    for (const bytes of [Uint8Array.of(0xff), new Uint8Array(64_000_001)]) {
      await expectCode("InvalidIndex", () =>
        twoShards((files) => void files.set("model.safetensors.index.json", bytes)),
      );
    }
  });

  test.each(["../x.safetensors", "/etc/passwd", "a/b", "a\\b", "..", ".", "", "a\0b", "C:x"])(
    "InvalidFileName: %j",
    async (name) => {
      await expectCode("InvalidFileName", () =>
        twoShards((files) => setIndex(files, { a: name, b: "x.safetensors", c: "y.safetensors" })),
      );
    },
  );
});

const bytesOf = ({ shape }: TensorSpec) => new Uint8Array(shape[0]).fill(shape[0]);

describe("writing", () => {
  const specs: TensorSpec[] = [
    { name: "b", dtype: "U8", shape: [6] },
    { name: "a", dtype: "U8", shape: [4] },
    { name: "large", dtype: "U8", shape: [20] },
    { name: "é", dtype: "U8", shape: [0] },
  ];
  test("the same shards as the Hugging Face tools, byte for byte, and the same index", async () => {
    const order = await goldenJson<TensorSpec[]>("sharded-order.json");
    const source = await openSafetensorsFolder(diskFolder(goldenPath("sharded")));
    onTestFinished(() => source.close());
    const files = new Map<string, Uint8Array>();
    const plan = planShards(order, { maxShardBytes: 300, metadata: source.metadata });
    const writer = await ShardedWriter.create(memoryFolder(files), plan);
    for (const { name } of order) await writer.write(name, await source.readBytes(name));
    await writer.finish();
    expect(files.size).toBe(5);
    for (const [name, bytes] of files) {
      const golden = await goldenBytes(`sharded/${name}`);
      if (name.endsWith(".safetensors")) expect(bytes, name).toEqual(golden);
      // Objects compare without order: the tools differ in it (transformers sorts, huggingface_hub does not).
      else
        expect(JSON.parse(Buffer.from(bytes).toString())).toEqual(
          JSON.parse(Buffer.from(golden).toString()),
        );
    }
  });

  test("shards by size in the order given; a larger tensor is alone", () => {
    const plan = planShards(specs, { maxShardBytes: 10 });
    const names = plan.shards.map(({ plan: { tensors } }) => tensors.map(({ name }) => name));
    expect(names).toEqual([["a", "b"], ["large"], ["é"]]);
    expect(plan.totalBytes).toBe(30);
    expect(plan.shards[0].file).toBe("model-00001-of-00003.safetensors");
    expect(planShards(specs).shards.map(({ file }) => file)).toEqual(["model.safetensors"]);
    expect(planShards(specs).index).toBeUndefined();
  });

  test("the index is written last, each shard when it is whole", async () => {
    const files = new Map<string, Uint8Array>();
    const plan = planShards(specs, { maxShardBytes: 10 });
    const writer = await ShardedWriter.create(memoryFolder(files), plan);
    await writer.write("large", bytesOf(specs[2]));
    await writer.write("a", bytesOf(specs[1]));
    expect([...files.keys()]).toEqual([plan.shards[1].file]);
    await writer.write("b", bytesOf(specs[0]));
    expect(files.size).toBe(2);
    expect(files.has("model.safetensors.index.json")).toBe(false);
    await writer.finish();
    expect([...files.keys()].at(-1)).toBe("model.safetensors.index.json");
    const index = new TextDecoder().decode(files.get("model.safetensors.index.json"));
    expect(index).toContain('"\\u00e9": "model-0000');
    expect(index.endsWith("\n  }\n}\n")).toBe(true);
    const checkpoint = await openSafetensorsFolder(memoryFolder(files));
    for (const spec of specs) expect(await checkpoint.readBytes(spec.name)).toEqual(bytesOf(spec));
  });

  test("a failure aborts every open shard and leaves no index", async () => {
    const files = new Map<string, Uint8Array>();
    const plan = planShards(specs, { maxShardBytes: 10 });
    const writer = await ShardedWriter.create(memoryFolder(files), plan);
    await writer.write("a", bytesOf(specs[1]));
    await expectCode("TensorOverrun", () => writer.write("large", new Uint8Array(21)));
    await expectCode("SinkClosed", () => writer.write("b", bytesOf(specs[0])));
    expect(files.size).toBe(0);

    const unfinished = await ShardedWriter.create(memoryFolder(files), plan);
    await unfinished.write("a", bytesOf(specs[1]));
    await expectCode("TensorNotFound", () => unfinished.write("zzz", new Uint8Array(1)));
    await expectCode("TensorIncomplete", () => unfinished.finish());
    expect(files.size).toBe(0);
  });

  test("OutputExists, unless told to overwrite: then the old commit mark goes first", async () => {
    for (const old of ["model.safetensors", "model.safetensors.index.json"]) {
      const files = new Map([[old, new Uint8Array(1)]]);
      const plan = planShards(specs, { maxShardBytes: 10 });
      await expectCode("OutputExists", () => ShardedWriter.create(memoryFolder(files), plan));
      expect(files.size).toBe(1);
      await ShardedWriter.create(memoryFolder(files), plan, { overwrite: true });
      expect(files.size).toBe(0);
    }
  });

  test("DuplicateTensor across shards", async () => {
    planShards(specs, { maxShardBytes: 1 });
    await expectCode("DuplicateTensor", () =>
      planShards([...specs, specs[0]], { maxShardBytes: 1 }),
    );
  });

  test("no tensors at all is a file with an empty header", async () => {
    const files = new Map<string, Uint8Array>();
    const writer = await ShardedWriter.create(memoryFolder(files), planShards([]));
    await writer.finish();
    expect(files.get("model.safetensors")).toEqual(planSafetensors([]).header);
  });
});
