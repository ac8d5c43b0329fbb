/** File names and contents: a model's folder, or one file of another kind. */
export type Files = ReadonlyMap<string, Uint8Array>;

export const kinds = [
  "safetensors",
  "index",
  "config",
  "tokenizer",
  "template",
  "gguf",
  "snapshot",
  "journal",
] as const;

/** What is attacked. */
export type Kind = (typeof kinds)[number];

/** A bad file and a sound one that differs from it in the one thing. */
export interface Attack {
  readonly kind: Kind;
  /** Says what is wrong. */
  readonly name: string;
  /** The code of the error that every way in answers with. */
  readonly code: string;
  readonly bad: Files;
  readonly twin: Files;
  /** Why the Rust crate takes the file all the same, where it does. */
  readonly crateTakesIt?: string;
}

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Files with others in the place of some; `undefined` leaves a file out. */
export function replaced(
  files: Files,
  changes: Readonly<Record<string, Uint8Array | string | undefined>>,
): Files {
  const result = new Map(files);
  for (const [name, content] of Object.entries(changes)) {
    if (content === undefined) result.delete(name);
    else result.set(name, typeof content === "string" ? utf8(content) : content);
  }
  return result;
}

/** Bytes with others at one place. */
export function patched(bytes: Uint8Array, at: number, ...values: readonly number[]): Uint8Array {
  const result = bytes.slice();
  result.set(values, at);
  return result;
}

/** An unsigned integer of eight bytes, little-endian. */
export const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);
