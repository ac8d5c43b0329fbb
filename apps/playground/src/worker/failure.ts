import type { Failure } from "./protocol";

const brand = Symbol.for("@transmla/error");

/** A failure of the page itself, in the shape that every package's errors have. */
export class PlaygroundError extends Error {
  override readonly name = "PlaygroundError";

  constructor(
    readonly code: PlaygroundErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    Object.defineProperty(this, brand, { value: true });
  }
}

/** What the page itself refuses. */
export const playgroundErrors = {
  NoModel: "There is no model open that the operation needs.",
  NotConverted: "Nothing has been converted yet, so there is nothing to save.",
  FolderTaken: "The folder to save to holds a model already.",
  NoModelChosen: "What was dropped or chosen is neither a model folder nor a GGUF file.",
  HubId: "The text is not a hub id.",
  HubUnreachable: "The hub cannot be reached, or refuses.",
  HubNoModel: "The repository has no model that can be read.",
  DifferentTokenizers: "Two models split the same text into different tokens.",
  TextTooShort: "A text has fewer tokens than what is asked of it.",
  NoStorage: "The browser has no place to keep files.",
  FileTooLarge: "A zip file without extensions cannot hold the file.",
} as const;

export type PlaygroundErrorCode = keyof typeof playgroundErrors;

/** Turns anything thrown into what the page shows. */
export function describeFailure(error: unknown, signal: AbortSignal): Failure {
  if (signal.aborted) return { code: "Aborted", message: "Stopped." };
  if (error instanceof Error && brand in error) {
    return { code: (error as unknown as { code: string }).code, message: error.message };
  }
  return { code: "Unexpected", message: error instanceof Error ? error.message : String(error) };
}
