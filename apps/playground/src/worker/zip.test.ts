import { expect, it } from "vitest";
import { unzip } from "../testing/unzip";
import { crc32, zipOf } from "./zip";

it("has the checksum that the format's description gives", () => {
  expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  expect(crc32(new Uint8Array())).toBe(0);
});

it("writes what unpacks to the same files", async () => {
  const files = new Map([
    ["model/config.json", new TextEncoder().encode('{"a": 1}\n')],
    ["model/wägung.bin", Uint8Array.from({ length: 70_000 }, (_, i) => (i * i) % 251)],
    ["model/empty", new Uint8Array()],
  ]);
  const archive = new Uint8Array(await zipOf(files).arrayBuffer());
  expect(unzip(archive)).toEqual(files);
});
