import type { Running } from "./operation";
import type { operations } from "./operations";

/** Names of what the worker can do. */
export type OperationName = keyof typeof operations;

type Of<Name extends OperationName> = (typeof operations)[Name];

export type InputOf<Name extends OperationName> = Parameters<Of<Name>>[1];
export type OutputOf<Name extends OperationName> = Awaited<ReturnType<Of<Name>>>;
export type EventOf<Name extends OperationName> =
  Parameters<Of<Name>>[2] extends Running<infer Event> ? Event : never;

/** From the page to the worker. Requests are served one after the other; `abort` stops one that runs or waits. */
export type ToWorker =
  | {
      readonly kind: "request";
      readonly id: number;
      readonly name: OperationName;
      readonly input: unknown;
    }
  | { readonly kind: "abort"; readonly id: number };

/** From the worker to the page: any number of events, then one `done` or `failed`. */
export type FromWorker =
  | { readonly kind: "event"; readonly id: number; readonly event: unknown }
  | { readonly kind: "done"; readonly id: number; readonly output: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly failure: Failure };

/** A failure as the page shows it: `message` says what to do. */
export interface Failure {
  /** The code of the package's error; `Aborted` for what was stopped, `Unexpected` for what nobody thought of. */
  readonly code: string;
  readonly message: string;
}
