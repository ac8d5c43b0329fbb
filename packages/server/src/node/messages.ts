import type { EngineLoad, TextEvent, TextRequest } from "@transmla/generation";
import type { ServedModel } from "../service";

/** From the thread that answers requests to the one that runs the model. Runs have numbers. */
export type ToWorker =
  | { readonly type: "submit"; readonly run: number; readonly request: TextRequest }
  | { readonly type: "cancel"; readonly run: number }
  /** So many events have been read: as many more may come. */
  | { readonly type: "read"; readonly run: number; readonly events: number }
  | { readonly type: "close" };

/** The other way. */
export type FromWorker =
  | { readonly type: "ready"; readonly model: ServedModel; readonly load: EngineLoad }
  | { readonly type: "progress"; readonly progress: unknown }
  | { readonly type: "accepted"; readonly run: number; readonly promptTokens: number }
  | { readonly type: "event"; readonly run: number; readonly event: TextEvent }
  | { readonly type: "done"; readonly run: number }
  /** Of a run, or, without a number, of the start. */
  | { readonly type: "failed"; readonly run?: number; readonly error: PlainError }
  | { readonly type: "load"; readonly load: EngineLoad };

/** Events of a run that may be under way unread. */
export const unreadEvents = 256;

/** An error as plain data: between threads only its message would survive. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly code: string;
  readonly context: Readonly<Record<string, unknown>>;
  readonly stack: string;
}

export function plainError(error: unknown): PlainError {
  const { name, message, stack, code, context } = error as Partial<Record<string, unknown>>;
  const text = (value: unknown, fallback: string) => (typeof value === "string" ? value : fallback);
  return {
    name: text(name, "Error"),
    message: text(message, String(error)),
    code: text(code, "Failed"),
    context: JSON.parse(JSON.stringify(context ?? {})) as Record<string, unknown>,
    stack: text(stack, ""),
  };
}

/** An error with the code, context and brand of the one that was thrown in the other thread. */
export function revivedError({ name, message, code, context, stack }: PlainError): Error {
  const error = Object.assign(new Error(message), { name, code, context, stack });
  Object.defineProperty(error, Symbol.for("@transmla/error"), { value: true });
  return error;
}
