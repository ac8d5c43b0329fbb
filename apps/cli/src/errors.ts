/** Every error code of the command line itself with what it means; the libraries bring their own. */
export const cliErrors = {
  Usage: "The command line is not understood: nothing was done.",
  ModelNotFound: "There is no model at the given place.",
  TextTooShort: "The text has fewer tokens than the command needs.",
  TextNotUtf8: "The text file is not UTF-8.",
  TextTooLarge: "The text file is larger than the command reads.",
  TokenizerMismatch: "Two models split the same text into different tokens.",
  OutputIsInput: "The output folder is the folder of the model that is read.",
  OutputExists: "The output folder already holds a model, or files that would be replaced.",
  OutputBusy: "Another process is writing into the output folder.",
  OutputUnusable: "The output folder cannot be made, read or written, or is not a folder.",
  HubNotFound: "The hub has no such repository or revision, or does not show it without a token.",
  HubUnreachable: "The hub cannot be reached, or the connection broke off.",
  HubAnswer: "The hub answered something that cannot be understood.",
  HubNoModel: "The repository has no model that can be read.",
  HubHashMismatch: "A downloaded file is not the one that was announced.",
  PackageMissing: "The device that was asked for is in a package that is not installed.",
  DiskFull: "The disk has not enough room for a download or an output.",
  ChatUnreadable: "The file of a kept conversation is not one of this program's.",
  AddressUnusable: "The address to serve on is taken, not allowed, or not of this machine.",
  ServiceDown: "What runs the model has stopped by itself.",
  Interrupted: "The command was stopped from outside.",
  Unexpected: "Something failed in a way nobody thought of.",
} as const;

/** A stable name for one way in which the command line fails. */
export type CliErrorCode = keyof typeof cliErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure that the command line finds itself. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly code: CliErrorCode;
  /** The file, flag and numbers that the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: CliErrorCode,
    message: string,
    context: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
    Object.defineProperty(this, brand, { value: true });
  }

  static isInstance(value: unknown): value is CliError {
    return value instanceof Error && brand in value && value.name === "CliError";
  }
}

/** Wrong use of the command line: exit code 2. */
export function usage(message: string, context: Readonly<Record<string, unknown>> = {}): CliError {
  return new CliError("Usage", message, context);
}

/** What the user is told about a failure. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly context: Readonly<Record<string, unknown>>;
  readonly exitCode: number;
}

export const exitCodes = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** Settings that contradict each other or the model are wrong usage, whichever library notices. */
const usageCodes: ReadonlySet<string> = new Set(["Usage", "InvalidOption"]);

/** Turns anything thrown into one line, a stable code and an exit code. */
export function describeFailure(error: unknown, signal?: AbortSignal): Failure {
  if (signal?.aborted) {
    const { reason } = signal as { reason: unknown };
    const message = reason instanceof Error ? oneLine(reason.message) : "interrupted";
    return { code: "Interrupted", message, context: {}, exitCode: exitCodes.interrupted };
  }
  if (isTransmlaError(error)) {
    const { code, message, context } = error;
    const exitCode = usageCodes.has(code) ? exitCodes.usage : exitCodes.failed;
    return { code, message: oneLine(message), context, exitCode };
  }
  const message = oneLine(error instanceof Error ? error.message : String(error));
  return { code: "Unexpected", message, context: {}, exitCode: exitCodes.failed };
}

interface TransmlaError {
  readonly code: string;
  readonly message: string;
  readonly context: Readonly<Record<string, unknown>>;
}

/** True for the errors of every package of this repository, from any copy of it. */
function isTransmlaError(error: unknown): error is TransmlaError {
  return error instanceof Error && brand in error;
}

const oneLine = (text: string) => text.replace(/\s*\n\s*/g, " ").trim();
