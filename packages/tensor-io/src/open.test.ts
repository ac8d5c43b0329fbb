import { expect, test } from "vitest";
import { memoryFolder } from "./folder";
import { isGguf, openCheckpoint } from "./open";
import { bytesSource } from "./source";
import { expectCode, goldenBytes, safetensorsBytes } from "./test-support";

const safetensors = await goldenBytes("all-dtypes.safetensors");
const gguf = await goldenBytes("every-type.gguf");
const openFiles = (files: Record<string, Uint8Array>) =>
  openCheckpoint(memoryFolder(new Map(Object.entries(files))));

test("files by their first bytes, whatever their names", async () => {
  const first = await openCheckpoint(bytesSource(safetensors, "x.gguf"));
  const second = await openCheckpoint(bytesSource(gguf, "x.safetensors"));
  expect([first.format, isGguf(first)]).toEqual(["safetensors", false]);
  expect([second.format, isGguf(second)]).toEqual(["gguf", true]);
});

test("folders: safetensors first, or the only GGUF file", async () => {
  const both = await openFiles({ "model.safetensors": safetensors, "m.gguf": gguf });
  expect(both.format).toBe("safetensors");
  const only = await openFiles({ "m.gguf": gguf, "config.json": new Uint8Array(0) });
  expect(only.format).toBe("gguf");
});

test("NoCheckpoint: an empty folder, several GGUF files", async () => {
  await expectCode("NoCheckpoint", () => openFiles({ "config.json": new Uint8Array(0) }));
  const error = await expectCode("NoCheckpoint", () =>
    openFiles({ "a.gguf": gguf, "b.gguf": gguf }),
  );
  expect(error.message).toContain("a.gguf, b.gguf");
});

test("UnknownFormat closes the source; a telling name gives the precise error", async () => {
  const pickle = bytesSource(new TextEncoder().encode("PK\x03\x04 pytorch"), "pytorch_model.bin");
  await expectCode("UnknownFormat", () => openCheckpoint(pickle));
  await expectCode("SourceClosed", () => pickle.read(0, 1));
  await expectCode("UnknownFormat", () => openCheckpoint(bytesSource(new Uint8Array(0))));
  const cutOff = new Uint8Array(5);
  await expectCode("HeaderTooSmall", () => openCheckpoint(bytesSource(cutOff, "m.safetensors")));
  await expectCode("GgufBadMagic", () => openCheckpoint(bytesSource(cutOff, "m.gguf")));
  await openCheckpoint(bytesSource(safetensorsBytes("{}"), "m.bin"));
});
