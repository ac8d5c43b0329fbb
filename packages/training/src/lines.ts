import type { ByteSource } from "@transmla/tensor-io";

/** The lines of a file that are not empty, read one by one. */
export interface LineSource {
  readonly count: number;
  /** `number` counts all lines from 1, as editors do. */
  read(index: number): Promise<{ readonly bytes: Uint8Array; readonly number: number }>;
}

/** Bytes that are looked through at once. */
const PIECE = 1 << 20;
const NEWLINE = 10;

interface Line {
  readonly start: number;
  readonly end: number;
  readonly number: number;
}

/** Finds where lines begin and end; of their text nothing is kept. */
export async function lineSource(source: ByteSource, signal?: AbortSignal): Promise<LineSource> {
  const lines: Line[] = [];
  let [start, number] = [0, 1];
  let blank = true;
  const end = (at: number) => {
    if (!blank) lines.push({ start, end: at, number });
    [start, blank] = [at + 1, true];
    number++;
  };
  for (let offset = 0; offset < source.size; offset += PIECE) {
    const piece = await source.read(offset, Math.min(PIECE, source.size - offset), signal);
    for (const [i, byte] of piece.entries()) {
      if (byte === NEWLINE) end(offset + i);
      else if (byte > 32) blank = false;
    }
  }
  end(source.size);
  return {
    count: lines.length,
    read: async (index) => {
      const line = lines[index]!;
      return { bytes: await source.read(line.start, line.end - line.start), number: line.number };
    },
  };
}
