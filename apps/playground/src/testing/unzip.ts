import { crc32 } from "node:zlib";

/** Files of a zip archive without compression, checked; an independent reading of the format, for tests. */
export function unzip(archive: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  const u16 = (at: number) => view.getUint16(at, true);
  const u32 = (at: number) => view.getUint32(at, true);
  const end = archive.byteLength - 22;
  if (u32(end) !== 0x06054b50) throw new Error("there is no end of a central directory");
  const files = new Map<string, Uint8Array>();
  let entry = u32(end + 16);
  for (let count = u16(end + 10); count > 0; count--) {
    if (u32(entry) !== 0x02014b50) throw new Error(`there is no entry at ${entry}`);
    const [method, sum, size, nameBytes] = [
      u16(entry + 10),
      u32(entry + 16),
      u32(entry + 24),
      u16(entry + 28),
    ];
    const name = new TextDecoder().decode(archive.subarray(entry + 46, entry + 46 + nameBytes));
    const local = u32(entry + 42);
    if (method !== 0 || u32(local) !== 0x04034b50) throw new Error(`${name} is not stored`);
    const start = local + 30 + u16(local + 26) + u16(local + 28);
    const content = archive.slice(start, start + size);
    if (crc32(content) !== sum) throw new Error(`${name} has another checksum`);
    files.set(name, content);
    entry += 46 + nameBytes + u16(entry + 30) + u16(entry + 32);
  }
  if (entry !== end) throw new Error("the central directory has another length");
  return files;
}
