/** Every error code of this package with what it means: the source of the type, the documentation and the tests. */
export const tensorIoErrors = {
  // Sources, folders and sinks
  SourceOpenFailed: "The file or address cannot be opened.",
  NotAFile: "The path is not a regular file (a folder, a pipe, a device or a socket).",
  FileNotFound: "The folder has no file of that name.",
  InvalidFileName: "The name is not a plain file name (it is empty or has a separator).",
  OutsideFolder: "The name leads, through a link, out of the model folder.",
  ReadOutOfBounds: "The range asked for is not inside the source.",
  ReadFailed: "The source returned an error or fewer bytes than asked for.",
  SourceClosed: "The source was read after it was closed.",
  SourceChanged: "The file behind the address changed between two reads.",
  RangeNotSupported: "The server does not answer range requests.",
  TensorTooLarge: "There is not enough memory for the result in one piece.",
  WriteFailed: "The bytes could not be written.",
  SinkClosed: "The sink was used after commit or abort.",
  OutputExists: "The folder already has a checkpoint that would be mixed with the new one.",
  // Strict JSON
  InvalidUtf8: "The bytes are not UTF-8.",
  JsonTooLarge: "The JSON text is longer or has more values than the limit.",
  JsonTooDeep: "The JSON text is nested deeper than the limit.",
  JsonSyntax: "The text is not JSON.",
  JsonDuplicateKey: "An object has the same key twice.",
  JsonMissingKey: "An expected key is absent.",
  JsonWrongType: "A value has another type than the expected one.",
  JsonOutOfRange: "A number is outside its permitted range.",
  // Element types
  UnknownDType: "The element type is not known.",
  UnsupportedConversion: "There is no conversion between this element type and f32.",
  ByteLengthMismatch: "The number of bytes does not fit the element type and count.",
  ValueNotRepresentable: "A value is outside the range of the target element type.",
  // safetensors (names and order of the Rust crate)
  HeaderTooSmall: "The file is shorter than the 8 bytes of the header length.",
  HeaderTooLarge: "The header is longer than 100,000,000 bytes.",
  InvalidHeaderLength: "The header length reaches beyond the end of the file.",
  InvalidHeader: "The header is not UTF-8.",
  InvalidHeaderDeserialization: "The header is not the JSON object that the format describes.",
  TensorNameTooLong: "A tensor name is longer than 4096 bytes.",
  RankTooLarge: "A tensor has more than 16 dimensions.",
  InvalidOffset: "A tensor does not begin where the one before it ends.",
  ValidationOverflow: "A shape or size overflows.",
  MisalignedSlice: "A tensor or a slice of one does not end on a whole byte or block.",
  TensorInvalidInfo: "The bytes of a tensor do not match its shape and element type.",
  MetadataIncompleteBuffer: "The tensors do not cover the file exactly.",
  // Checkpoints
  TensorNotFound: "The checkpoint has no tensor of that name.",
  InvalidRows: "The row range is not inside the first dimension.",
  UnknownFormat: "The file is neither safetensors nor GGUF.",
  NoCheckpoint: "The folder has no model file.",
  InvalidIndex: "The shard index is not what the format describes.",
  MissingShard: "The index names shards that are not in the folder.",
  TensorInWrongShard: "A tensor is in another shard than the index says.",
  TensorInTwoShards: "A tensor is in more than one shard.",
  TensorNotInShard: "The index lists a tensor that no shard has.",
  TensorNotInIndex: "A shard has a tensor that the index does not list.",
  // Writing
  DuplicateTensor: "Two tensors to write have the same name.",
  InvalidTensorName: "The name cannot be written (reserved, or not well-formed Unicode).",
  InvalidShape: "A dimension is not a non-negative safe integer.",
  TensorOverrun: "More bytes were written for a tensor than its shape has.",
  TensorIncomplete: "Writing was finished before every tensor was whole.",
  // GGUF
  GgufBadMagic: "The file does not begin with `GGUF`.",
  GgufBigEndian: "The file is big-endian.",
  GgufUnsupportedVersion: "The version is neither 2 nor 3.",
  GgufTruncated: "A declared length reaches beyond the end of the file.",
  GgufValueRange: "A metadata number is outside its type.",
  GgufTooLarge:
    "A string, an array or a number of entries exceeds what this package holds in memory.",
  GgufInvalidKey: "A metadata key is empty or longer than 65,535 bytes.",
  GgufDuplicateKey: "A metadata key occurs twice.",
  GgufInvalidType: "A metadata value has an unknown type or is an array of arrays.",
  GgufInvalidBool: "A boolean is neither 0 nor 1.",
  GgufInvalidAlignment: "`general.alignment` is not a u32 power of two.",
  GgufInvalidTensorName: "A tensor name is empty or longer than 63 bytes.",
  GgufDuplicateTensor: "A tensor name occurs twice.",
  GgufInvalidRank: "A tensor has more than 4 dimensions.",
  GgufInvalidShape: "A dimension is zero or the shape overflows.",
  GgufUnsupportedType: "A tensor has a block type that this package does not read.",
  GgufMisalignedRow: "The row length is not a multiple of the block.",
  GgufInvalidOffset: "A tensor does not begin at the padded end of the one before it.",
} as const;

/** A stable name for one way in which this package fails. */
export type TensorIoErrorCode = keyof typeof tensorIoErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure of this package except an abort, which throws the signal's own reason. */
export class TensorIoError extends Error {
  override readonly name = "TensorIoError";
  readonly code: TensorIoErrorCode;
  /** The file, tensor, key, sizes and whatever else the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: TensorIoErrorCode,
    message: string,
    context: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
    Object.defineProperty(this, brand, { value: true });
  }

  /** True for an error of this class from any copy of the package (ESM and CommonJS have one each). */
  static isInstance(value: unknown): value is TensorIoError {
    return (
      typeof value === "object" &&
      value !== null &&
      (value as { [brand]?: unknown })[brand] === true &&
      (value as { name?: unknown }).name === "TensorIoError"
    );
  }
}

/** The text of an unknown thrown value, for messages that carry a cause. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
