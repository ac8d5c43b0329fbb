import { describe, expect, test } from "vitest";
import type { TensorIoErrorCode } from "../errors";
import { bytesSource } from "../source";
import { expectCode, fromBase64, goldenJson, safetensorsBytes } from "../test-support";
import { maxHeaderBytes } from "./header";
import { openSafetensors } from "./read";

const open = (bytes: Uint8Array) => openSafetensors(bytesSource(bytes, "x.safetensors"));
const openHeader = (header: string | Uint8Array, data = 0) => open(safetensorsBytes(header, data));
const entry = (dtype: string, shape: readonly unknown[], begin: number, end: number) =>
  `{"dtype":"${dtype}","shape":${JSON.stringify(shape)},"data_offsets":[${begin},${end}]}`;

/** The messages of the Rust crate 0.8 and its names for them. */
const crateCodes: [RegExp, TensorIoErrorCode][] = [
  [/^header too small/, "HeaderTooSmall"],
  [/^header too large/, "HeaderTooLarge"],
  [/^invalid header length/, "InvalidHeaderLength"],
  [/^invalid UTF-8 in header/, "InvalidHeader"],
  [/^invalid JSON in header/, "InvalidHeaderDeserialization"],
  [/^invalid offset for tensor/, "InvalidOffset"],
  [/^overflow computing buffer size/, "ValidationOverflow"],
  [/slicing for subbytes/, "MisalignedSlice"],
  [/^invalid shape, data type, or offset/, "TensorInvalidInfo"],
  [/^incomplete metadata/, "MetadataIncompleteBuffer"],
];

interface Verdicts {
  readonly headers: { header: string; data: number; error: string | null }[];
  readonly files: { bytes: string; error: string }[];
}

const codeOf = (error: string) => crateCodes.find(([message]) => message.test(error))![1];

// Where the crate is lax: a dimension beyond 2^53 in an empty tensor cannot be a JavaScript number.
const stricter = (header: string) => header.includes("[1152921504606846976, 0]");

describe("the same verdict as the Rust crate", async () => {
  const verdicts = await goldenJson<Verdicts>("verdicts.json");
  test.each(verdicts.headers)("$header + $data bytes", async ({ header, data, error }) => {
    if (error === null && !stricter(header)) await openHeader(header, data);
    else
      await expectCode(error === null ? "ValidationOverflow" : codeOf(error), () =>
        openHeader(header, data),
      );
  });

  test.each(verdicts.files)("$error", async ({ bytes, error }) => {
    await expectCode(codeOf(error), () => open(fromBase64(bytes)));
  });

  test("every code of the crate occurs in the table", () => {
    const all = [...verdicts.headers, ...verdicts.files].flatMap(({ error }) => error ?? []);
    expect(new Set(all.map(codeOf))).toEqual(new Set(crateCodes.map(([, code]) => code)));
  });
});

const one = entry("F32", [1], 0, 4);
const named = (length: number) => `{"${"é".repeat(length / 2)}":${one}}`;

const ranked = (rank: number) => `{"a":${entry("F32", Array(rank).fill(1), 0, 4)}}`;

describe("stricter than the crate", () => {
  test("duplicate names, also in escaped spelling", async () => {
    await openHeader(`{"a":${one},"b":${entry("F32", [1], 4, 8)}}`, 8);
    await expectCode("InvalidHeaderDeserialization", () =>
      openHeader(`{"a":${one},"a":${entry("F32", [1], 4, 8)}}`, 8),
    );
    await expectCode("InvalidHeaderDeserialization", () =>
      openHeader(String.raw`{"a":${one},"\u0061":${entry("F32", [1], 4, 8)}}`, 8),
    );
    await expectCode("InvalidHeaderDeserialization", () =>
      openHeader('{"__metadata__":{"k":"1","k":"2"}}'),
    );
  });

  test("unknown fields, a null __metadata__ and white space before the object", async () => {
    await expectCode("InvalidHeaderDeserialization", () =>
      openHeader(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4),
    );
    await expectCode("InvalidHeaderDeserialization", () => openHeader('{"__metadata__":null}'));
    await expectCode("InvalidHeaderDeserialization", () => openHeader(" {}"));
    await openHeader("{}      ");
  });

  test("names up to 4096 bytes", async () => {
    await openHeader(named(4096), 4);
    await expectCode("TensorNameTooLong", () => openHeader(named(4098), 4));
  });

  test("rank up to 16", async () => {
    await openHeader(ranked(16), 4);
    await expectCode("RankTooLarge", () => openHeader(ranked(17), 4));
  });

  test("__proto__ is a tensor name", async () => {
    const checkpoint = await openHeader(`{"__proto__":${one}}`, 4);
    expect([...checkpoint.tensors.keys()]).toEqual(["__proto__"]);
  });
});

test("a declared length is compared with the file before anything is read", async () => {
  const source = bytesSource(safetensorsBytes("{}"));
  const claims = (length: bigint) => {
    const prefix = new Uint8Array(8);
    new DataView(prefix.buffer).setBigUint64(0, length, true);
    return {
      ...source,
      size: 10,
      read: async (_: number, n: number) => {
        if (n > 8) throw new Error("read beyond the prefix");
        return prefix;
      },
    };
  };
  await expectCode("InvalidHeaderLength", () => openSafetensors(claims(BigInt(maxHeaderBytes))));
  await expectCode("HeaderTooLarge", () => openSafetensors(claims(BigInt(maxHeaderBytes) + 1n)));
  await expectCode("HeaderTooLarge", () => openSafetensors(claims(2n ** 64n - 1n)));
});

test("errors name the file and the tensor", async () => {
  const error = await expectCode("TensorInvalidInfo", () =>
    openHeader(`{"layer.w":${entry("F32", [2], 0, 4)}}`, 4),
  );
  expect(error.message).toMatch(/x\.safetensors: tensor "layer\.w" needs 8 bytes/);
  expect(error.context).toMatchObject({ file: "x.safetensors", tensor: "layer.w" });
});
