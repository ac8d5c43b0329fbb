import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { counted } from "../tools/trust/counts";
import { replaced, type Files } from "./attack";
import { libraryVerdict } from "./library";
import { config, gguf, indexName, sharded, whole } from "./model";

/** Bytes of the heap that trying thousands of files may leave behind, and milliseconds that one may take. */
const [mostGrowth, patience] = [256e6, 10_000];

interface Change {
  readonly at: number;
  readonly value: number;
}

/** Some bytes set to others, often such as structure is made of, and perhaps the end cut off. */
const damage = (length: number) =>
  fc.record({
    changes: fc.array(
      fc.record({
        at: fc.nat(length - 1),
        value: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('0189{}[]",:\\- %}'))),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    keep: fc.oneof(
      { weight: 4, arbitrary: fc.constant(1) },
      fc.double({ min: 0, max: 1, noNaN: true }),
    ),
  });

function damaged(bytes: Uint8Array, changes: readonly Change[], keep: number): Uint8Array {
  const result = bytes.slice(0, Math.floor(bytes.length * keep));
  for (const { at, value } of changes) if (at < result.length) result[at] = value;
  return result;
}

/** Files of a model that are damaged: the first so many bytes of each, where its structure is. */
const targets: readonly (readonly [
  file: string,
  model: Files,
  bytes: number,
  runs: number,
  codes: number,
])[] = [
  ["config.json", whole, 450, 2000, 5],
  ["tokenizer.json", whole, 3000, 300, 3],
  ["tokenizer_config.json", whole, 400, 1000, 3],
  ["model.safetensors", whole, 2200, 2000, 5],
  [indexName, sharded, 900, 1500, 4],
  ["model.gguf", gguf, 1500, 1000, 5],
];

/** Tries many files and asks of each a code or a sound model, in time. */
async function tries(judge: (verdict: string) => void, files: Files): Promise<void> {
  const start = performance.now();
  judge(await libraryVerdict(files));
  expect(performance.now() - start).toBeLessThan(patience);
}

describe("changed bytes", () => {
  for (const [file, model, bytes, numRuns, codes] of targets) {
    it(`of ${file}: a code or a sound model, in time`, async ({ task }) => {
      const original = model.get(file)!;
      const seen = new Set<string>();
      const before = process.memoryUsage().heapUsed;
      await fc.assert(
        fc.asyncProperty(damage(Math.min(bytes, original.length)), async ({ changes, keep }) => {
          const bad = replaced(model, { [file]: damaged(original, changes, keep) });
          await tries((verdict) => seen.add(verdict), bad);
        }),
        { numRuns, seed: 1 },
      );
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(mostGrowth);
      // They reach deep enough to meet many different checks.
      expect(seen.size).toBeGreaterThanOrEqual(codes);
      counted(task, { mutations: numRuns });
    });
  }
});

/** Values that a config may have where a number, a name or nothing is meant. */
const anything = fc.oneof(
  fc.constantFrom(0, -1, 1, 2, 3, 0.5, 1e9, 2 ** 31 - 1, 2 ** 53, 1e300, "", "16", true, null),
  fc.jsonValue({ maxDepth: 2 }),
);

describe("any value", () => {
  it("in any field of config.json: a code or a sound model, in time", async ({ task }) => {
    const fields = [
      ...Object.keys(config),
      "rope_scaling",
      "sliding_window",
      "quantization_config",
    ];
    const seen = new Set<string>();
    const numRuns = 3000;
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.constantFrom(...fields), anything, { minKeys: 1, maxKeys: 2 }),
        async (changes) => {
          const json = JSON.stringify({ ...config, ...changes });
          await tries((verdict) => seen.add(verdict), replaced(whole, { "config.json": json }));
        },
      ),
      { numRuns, seed: 1 },
    );
    expect(seen.size).toBeGreaterThanOrEqual(5);
    counted(task, { files: numRuns });
  });
});
