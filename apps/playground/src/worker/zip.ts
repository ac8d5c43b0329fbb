import { PlaygroundError } from "./failure";

/** Sizes and offsets beyond this need the format's 64-bit extension. */
const LARGEST = 0xffff_ffff;

/**
 * Files as one zip archive, stored without compression: weights do not get smaller. PKWARE's APPNOTE, sections 4.3.7 (local header),
 * 4.3.12 (central directory) and 4.3.16 (its end); names in UTF-8 (general purpose bit 11).
 *
 * @throws PlaygroundError `FileTooLarge` beyond 4 GiB
 */
export function zipOf(files: ReadonlyMap<string, Uint8Array>): Blob {
  const parts: BlobPart[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const [path, content] of files) {
    const name = new TextEncoder().encode(path);
    const sizes = { checksum: crc32(content), size: content.byteLength, name: name.byteLength };
    const header = fields([0x04034b50, 4], [20, 2], ...common(sizes), [0, 2]);
    directory.push(
      fields(
        [0x02014b50, 4],
        [20, 2],
        [20, 2],
        ...common(sizes),
        // Extra field, comment, disk, attributes (twice), where the file begins.
        [0, 2],
        [0, 2],
        [0, 2],
        [0, 2],
        [0, 4],
        [offset, 4],
      ),
      name,
    );
    parts.push(header as BlobPart, name as BlobPart, content as BlobPart);
    offset += header.byteLength + name.byteLength + content.byteLength;
    if (offset > LARGEST) {
      const message =
        "The model is larger than 4 GiB, more than a plain zip file holds: save it to a folder.";
      throw new PlaygroundError("FileTooLarge", message);
    }
  }
  const length = directory.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const { size: count } = files;
  const end = fields(
    [0x06054b50, 4],
    [0, 4],
    [count, 2],
    [count, 2],
    [length, 4],
    [offset, 4],
    [0, 2],
  );
  return new Blob([...parts, ...(directory as BlobPart[]), end as BlobPart], {
    type: "application/zip",
  });
}

type Field = readonly [value: number, bytes: 2 | 4];

/** What both headers say of a file: flags, method 0 (stored), time and date (1 January 1980), checksum, sizes, length of the name. */
function common({ checksum, size, name }: Record<"checksum" | "size" | "name", number>): Field[] {
  return [
    [0x0800, 2],
    [0, 2],
    [0, 2],
    [0x21, 2],
    [checksum, 4],
    [size, 4],
    [size, 4],
    [name, 2],
  ];
}

/** Little-endian numbers, one after the other. */
function fields(...values: readonly Field[]): Uint8Array {
  const bytes = new Uint8Array(values.reduce((sum, [, width]) => sum + width, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [value, width] of values) {
    if (width === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += width;
  }
  return bytes;
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** CRC-32 of ISO 3309, as zip files have it. */
export function crc32(bytes: Uint8Array): number {
  let value = 0xffff_ffff;
  for (const byte of bytes) value = table[(value ^ byte) & 0xff]! ^ (value >>> 8);
  return (value ^ 0xffff_ffff) >>> 0;
}
