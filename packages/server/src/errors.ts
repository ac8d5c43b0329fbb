/** Every error code of this package: the status of its answer, OpenAI's type of it, and what it means. */
export const serverErrors = {
  InvalidRequest: [400, "invalid_request_error", "A field is missing, unknown or out of range."],
  InvalidJson: [400, "invalid_request_error", "The body is not a JSON object."],
  Unauthorised: [401, "authentication_error", "The API key is missing or wrong."],
  ForeignHost: [403, "permission_error", "The Host header names another host."],
  NotFound: [404, "not_found_error", "There is no such route."],
  ModelNotFound: [404, "not_found_error", "Another model is served."],
  MethodNotAllowed: [405, "invalid_request_error", "The route has another method."],
  BodyTooLarge: [413, "invalid_request_error", "The body is larger than the server reads."],
  NotJson: [415, "invalid_request_error", "The content type is not application/json."],
  TooManyRequests: [429, "rate_limit_error", "More requests are open than the server takes."],
  SlowReader: [499, "client_error", "The reader left too much of the answer unread."],
  Failed: [500, "server_error", "The server failed at something that it should be able to do."],
  Draining: [503, "server_error", "The server is about to stop."],
  ServiceDown: [503, "server_error", "What runs the model has stopped."],
} as const satisfies Readonly<
  Record<string, readonly [status: number, type: string, meaning: string]>
>;

/** A stable name for one way in which this package fails. */
export type ServerErrorCode = keyof typeof serverErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure that the server finds itself; those of the libraries are answered by their codes. */
export class ServerError extends Error {
  override readonly name = "ServerError";
  readonly code: ServerErrorCode;
  /** The field and numbers that the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: ServerErrorCode,
    message: string,
    context: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
    Object.defineProperty(this, brand, { value: true });
  }

  static isInstance(value: unknown): value is ServerError {
    return value instanceof Error && brand in value && value.name === "ServerError";
  }
}

/** A failure as it is answered. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly code: string;
  readonly message: string;
  /** The field of the request that is wrong. */
  readonly param: string | null;
  /** Seconds after which it makes sense to try again. */
  readonly retryAfter: number | undefined;
}

type Status = readonly [status: number, type: string];
const bad: Status = [400, "invalid_request_error"];

/** How codes of the libraries are answered. What is not here is a failure of the server. */
const libraryErrors: Readonly<Record<string, Status>> = {
  InvalidOption: bad,
  InvalidPrompt: bad,
  EmptyPrompt: bad,
  PromptTooLong: bad,
  UnknownToken: bad,
  UnsupportedSchema: bad,
  InvalidSchema: bad,
  ConstraintDeadEnd: bad,
  UnsupportedTokenizer: bad,
  MissingTemplate: bad,
  TemplateFailed: bad,
  TemplateTooCostly: bad,
  CacheTooSmall: bad,
  Overloaded: [429, "rate_limit_error"],
  EngineClosed: [503, "server_error"],
};

/** Seconds that a client should wait when there is too much to do. */
const retrySeconds = 1;

/** Turns anything thrown into an answer. What is unexpected is told without its message, which may say things about the machine. */
export function answerOf(error: unknown): Answer {
  const { code, message, context } = described(error);
  const [status, type] = serverErrors[code as ServerErrorCode] ?? libraryErrors[code] ?? [];
  if (status === undefined || type === undefined) {
    const [failed, kind] = serverErrors.Failed;
    const answer = { type: kind, code: "Failed", message: "The server failed; its log says why." };
    return { status: failed, ...answer, param: null, retryAfter: undefined };
  }
  const named = context["field"] ?? context["option"];
  const param = typeof named === "string" ? named : null;
  const retryAfter = status === 429 || status === 503 ? retrySeconds : undefined;
  return { status, type, code, message, param, retryAfter };
}

function described(error: unknown): {
  readonly code: string;
  readonly message: string;
  readonly context: Readonly<Record<string, unknown>>;
} {
  const { code, message, context } = (error ?? {}) as Partial<Record<string, unknown>>;
  return {
    code: typeof code === "string" ? code : "",
    message: typeof message === "string" ? message : "",
    context: typeof context === "object" && context !== null ? { ...context } : {},
  };
}
