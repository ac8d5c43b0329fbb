import { execFileSync } from "node:child_process";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { allocate, blobSource, bytesSource, type ByteSource } from "./source";
import { fileSource } from "./source-node";
import { expectCode, temporaryFolder } from "./test-support";

const content = Uint8Array.from({ length: 100 }, (_, i) => i);

async function onDisk(): Promise<string> {
  const path = join(await temporaryFolder(), "file.bin");
  await writeFile(path, content);
  return path;
}

const makers: [string, () => Promise<ByteSource>][] = [
  ["bytesSource", async () => bytesSource(content)],
  ["bytesSource of a Buffer", async () => bytesSource(Buffer.from(content))],
  ["blobSource", async () => blobSource(new Blob([content]))],
  ["fileSource", async () => fileSource(await onDisk())],
];

describe.each(makers)("%s", (_, make) => {
  test("reads exactly what is asked", async () => {
    const source = await make();
    expect(source.size).toBe(100);
    expect(await source.read(0, 100)).toEqual(content);
    expect(await source.read(97, 3)).toEqual(Uint8Array.of(97, 98, 99));
    expect(await source.read(100, 0)).toEqual(new Uint8Array(0));
    await source.close();
  });

  test("every read is a fresh copy", async () => {
    const source = await make();
    (await source.read(0, 4)).fill(255);
    expect(await source.read(0, 2)).toEqual(Uint8Array.of(0, 1));
    await source.close();
  });

  test("ReadOutOfBounds", async () => {
    const source = await make();
    for (const [offset, length] of [
      [0, 101],
      [101, 0],
      [-1, 1],
      [0, -1],
      [0.5, 1],
      [NaN, 1],
      [2 ** 53, 2 ** 53],
    ]) {
      await expectCode("ReadOutOfBounds", () => source.read(offset, length));
    }
    await source.close();
  });

  test("SourceClosed, and closing twice", async () => {
    const source = await make();
    await source.close();
    await source.close();
    await expectCode("SourceClosed", () => source.read(0, 1));
  });

  test("an aborted signal", async () => {
    const source = await make();
    const reason = new Error("enough");
    await expect(source.read(0, 1, AbortSignal.abort(reason))).rejects.toBe(reason);
    await source.close();
  });
});

test("names", () => {
  expect(blobSource(new Blob([])).name).toBe("blob");
  expect(blobSource(new File([], "a.gguf")).name).toBe("a.gguf");
  expect(blobSource(new File([], "a.gguf"), "b").name).toBe("b");
  expect(bytesSource(content, "c").name).toBe("c");
});

describe("files that are not files", () => {
  test("NotAFile: a folder", async () => {
    const path = await temporaryFolder();
    await expectCode("NotAFile", () => fileSource(path));
  });

  test.skipIf(process.platform === "win32")("NotAFile: a pipe, at once", async () => {
    const pipe = join(await temporaryFolder(), "pipe");
    execFileSync("mkfifo", [pipe]);
    await expectCode("NotAFile", () => fileSource(pipe));
  });

  test("FileNotFound and SourceOpenFailed", async () => {
    const path = await temporaryFolder();
    await expectCode("FileNotFound", () => fileSource(join(path, "none")));
    const error = await expectCode("SourceOpenFailed", () => fileSource("a\0b"));
    expect(error.cause).toBeInstanceOf(Error);
  });
});

test("ReadFailed: a file that became shorter", async () => {
  const path = await onDisk();
  const source = await fileSource(path);
  await truncate(path, 50);
  expect(await source.read(0, 50)).toEqual(content.subarray(0, 50));
  await expectCode("ReadFailed", () => source.read(40, 20));
  await source.close();
});

test("ReadFailed: a Blob whose file is gone", async () => {
  const blob = new Blob([content]);
  const gone = Object.assign(blob, {
    slice: () => ({ arrayBuffer: () => Promise.reject(new Error("NotReadableError")) }),
  });
  await expectCode("ReadFailed", () => blobSource(gone).read(0, 1));
});

test("TensorTooLarge: an allocation that the engine refuses", async () => {
  const error = await expectCode("TensorTooLarge", () =>
    allocate("w", 2 ** 52, () => new Uint8Array(2 ** 52)),
  );
  expect(error.message).toContain("row ranges");
  expect(allocate("w", 8, () => new Uint8Array(8))).toHaveLength(8);
});
