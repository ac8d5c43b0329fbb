import fc from "fast-check";
import { expect, test } from "vitest";
import { TensorIoError } from "./errors";
import { openCheckpoint } from "./open";
import { bytesSource } from "./source";
import { goldenBytes } from "./test-support";

/** Opens and reads everything: a checkpoint or a typed error, and nothing else. */
async function verdict(bytes: Uint8Array, name: string): Promise<string> {
  try {
    const checkpoint = await openCheckpoint(bytesSource(bytes, name));
    for (const { name: tensor, byteLength } of checkpoint.tensors.values()) {
      expect(await checkpoint.readBytes(tensor)).toHaveLength(byteLength);
    }
    return "sound";
  } catch (error) {
    if (TensorIoError.isInstance(error)) return error.code;
    throw error;
  }
}

interface Mutation {
  readonly at: number;
  readonly value: number;
}

/** Changes some bytes of the header, among them such that decide about lengths, and perhaps cuts the file. */
const mutations = (headerBytes: number) =>
  fc.record({
    changes: fc.array(
      fc.record({
        at: fc.nat(headerBytes - 1),
        value: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('0129{}[]",:\\- '))),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    keep: fc.oneof(
      { weight: 3, arbitrary: fc.constant(1) },
      fc.double({ min: 0, max: 1, noNaN: true }),
    ),
  });

function mutated(bytes: Uint8Array, changes: readonly Mutation[], keep: number): Uint8Array {
  const result = bytes.slice(0, Math.floor(bytes.length * keep));
  for (const { at, value } of changes) if (at < result.length) result[at] = value;
  return result;
}

test.each([
  ["all-dtypes.safetensors", 1700, 3000],
  ["every-type.gguf", 1900, 3000],
])("%s with mutated bytes", async (file, headerBytes, numRuns) => {
  const bytes = await goldenBytes(file);
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(mutations(headerBytes), async ({ changes, keep }) => {
      const code = await verdict(mutated(bytes, changes, keep), file);
      seen.set(code, (seen.get(code) ?? 0) + 1);
    }),
    { numRuns, seed: 1 },
  );
  // The mutations reach deep enough to meet many different checks.
  expect(seen.size).toBeGreaterThan(5);
});

test("a truncation is noticed wherever it is", async () => {
  for (const file of ["all-dtypes.safetensors", "every-type.gguf"]) {
    const bytes = await goldenBytes(file);
    // GGUF files end with padding that nothing needs.
    const needed = file.endsWith(".gguf") ? bytes.length - 32 : bytes.length;
    for (let length = 0; length < needed; length += 7) {
      expect(await verdict(bytes.subarray(0, length), file)).not.toBe("sound");
    }
  }
});
