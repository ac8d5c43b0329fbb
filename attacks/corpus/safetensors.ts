import { patched, replaced, u64, utf8, type Attack } from "../attack";
import { whole } from "../model";

const file = "model.safetensors";
const sound = whole.get(file)!;
const headerLength = new DataView(sound.buffer).getUint32(0, true);
const header = new TextDecoder().decode(sound.subarray(8, 8 + headerLength)).trimEnd();
const data = sound.subarray(8 + headerLength);
const first = "model.embed_tokens.weight";

/** A file of any header and data. */
function fileOf(text: string | Uint8Array, values: Uint8Array = data): Uint8Array {
  const bytes = typeof text === "string" ? utf8(text) : text;
  return Uint8Array.from([...u64(BigInt(bytes.length)), ...bytes, ...values]);
}

type Entry = { dtype: string; shape: unknown; data_offsets: unknown };
type Header = Record<string, Entry>;

/** The file with a header that was changed as an object. */
function edited(change: (header: Header) => void): Uint8Array {
  const object = JSON.parse(header) as Header;
  change(object);
  return fileOf(JSON.stringify(object));
}

/** The file with the description of one tensor changed. */
const described = (change: Partial<Entry>) =>
  edited((object) => Object.assign(object[first]!, change));

/** The file with more in front of its first entry. */
const prefixed = (text: string) => fileOf(`{${text},${header.slice(1)}`);

const empty = (name: string) => `${name}:{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`;

const cases: readonly (readonly [
  code: string,
  name: string,
  bad: Uint8Array,
  crateTakesIt?: string,
])[] = [
  ["HeaderTooSmall", "an empty file", new Uint8Array(0)],
  ["HeaderTooSmall", "seven bytes", sound.subarray(0, 7)],
  ["HeaderTooLarge", "a header of 2^63 bytes", patched(sound, 0, ...u64(2n ** 63n))],
  ["HeaderTooLarge", "a header of 100,000,001 bytes", patched(sound, 0, ...u64(100_000_001n))],
  ["InvalidHeaderLength", "a header longer than the file", patched(sound, 0, ...u64(99_999_999n))],
  ["InvalidHeader", "a header that is not UTF-8", patched(sound, 9, 0xff)],
  ["InvalidHeaderDeserialization", "a header that is a list", fileOf("[]")],
  ["InvalidHeaderDeserialization", "an empty header", fileOf("")],
  ["InvalidHeaderDeserialization", "a header that ends in the middle", fileOf(header.slice(0, -9))],
  ["InvalidHeaderDeserialization", "text behind the header", fileOf(`${header}x`)],
  ["InvalidHeaderDeserialization", "a zero byte behind the header", fileOf(`${header}\0`)],
  ["InvalidHeaderDeserialization", "a comma too many", fileOf(`${header.slice(0, -1)},}`)],
  [
    "InvalidHeaderDeserialization",
    "a list in a list, ten thousand times",
    fileOf(`{"a":${"[".repeat(10_000)}${"]".repeat(10_000)}}`),
  ],
  ["InvalidHeaderDeserialization", "an unknown element type", described({ dtype: "F33" })],
  ["InvalidHeaderDeserialization", "a negative dimension", described({ shape: [-1024, -16] })],
  [
    "InvalidHeaderDeserialization",
    "a dimension with a fraction",
    described({ shape: [1024, 16.5] }),
  ],
  [
    "InvalidHeaderDeserialization",
    "a dimension as a decimal",
    fileOf(header.replace('"shape":[1024,16]', '"shape":[1024,16.0]')),
  ],
  ["InvalidHeaderDeserialization", "a dimension as text", described({ shape: ["1024", 16] })],
  ["InvalidHeaderDeserialization", "three offsets", described({ data_offsets: [0, 0, 0] })],
  [
    "InvalidHeaderDeserialization",
    "metadata that is no text",
    edited((object) => Object.assign(object, { __metadata__: { format: 1 } })),
  ],
  [
    "InvalidHeaderDeserialization",
    "a name twice",
    prefixed(`${empty('"twice"')},${empty('"twice"')}`),
    "It keeps the last of two entries of one name; which one was meant cannot be known.",
  ],
  [
    "InvalidHeaderDeserialization",
    "a name twice, once in escapes",
    prefixed(`${empty('"twice"')},${empty(String.raw`"\u0074wice"`)}`),
    "It keeps the last of two entries of one name; which one was meant cannot be known.",
  ],
  [
    "InvalidHeaderDeserialization",
    "a field that the format does not have",
    edited((object) => Object.assign(object[first]!, { scale: 1 })),
    "It ignores unknown fields; a reader that ignores what changes the meaning of values misreads them.",
  ],
  [
    "InvalidHeaderDeserialization",
    "half of a surrogate pair",
    prefixed(empty(String.raw`"\ud800"`)),
  ],
  [
    "TensorNameTooLong",
    "a name of 5,000 bytes",
    prefixed(empty(`"${"n".repeat(5000)}"`)),
    "It has no limit of its own.",
  ],
  [
    "RankTooLarge",
    "17 dimensions",
    described({ shape: [1024, 16, ...Array<number>(15).fill(1)] }),
    "It has no limit of its own.",
  ],
  [
    "InvalidOffset",
    "two tensors on the same bytes",
    edited((object) => {
      for (const part of ["input_layernorm", "post_attention_layernorm"]) {
        object[`model.layers.0.${part}.weight`]!.data_offsets = [0, 32];
      }
    }),
  ],
  ["InvalidOffset", "an end before the begin", described({ data_offsets: [32768, 0] })],
  ["InvalidOffset", "a hole in front", described({ data_offsets: [8, 32776] })],
  ["ValidationOverflow", "a shape beyond 64 bits", described({ shape: [2 ** 40, 2 ** 40] })],
  ["TensorInvalidInfo", "fewer bytes than the shape has", described({ shape: [1024, 17] })],
  ["TensorInvalidInfo", "another element type of the same shape", described({ dtype: "F64" })],
  ["MetadataIncompleteBuffer", "a byte too many", fileOf(header, Uint8Array.from([...data, 0]))],
  ["MetadataIncompleteBuffer", "a byte too few", fileOf(header, data.subarray(0, -1))],
  ["MetadataIncompleteBuffer", "no data at all", fileOf(header, new Uint8Array(0))],
  [
    "UnexpectedTensor",
    "a tensor called __proto__",
    prefixed(empty('"__proto__"')),
    "It reads files, not models: the model has no such tensor.",
  ],
  [
    "TensorShape",
    "a transposed matrix",
    described({ shape: [16, 1024] }),
    "It reads files, not models: the config says another shape.",
  ],
];

export const attacks: readonly Attack[] = cases.map(([code, name, bad, crateTakesIt]) => ({
  kind: "safetensors",
  name,
  code,
  bad: replaced(whole, { [file]: bad }),
  twin: whole,
  ...(crateTakesIt && { crateTakesIt }),
}));
