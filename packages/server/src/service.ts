import type { EngineLoad, TextEngine, TextEvent, TextRequest } from "@transmla/generation";

/** The model as clients see it. */
export interface ServedModel {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** Tokens that the model can see at once, prompt and answer. */
  readonly contextTokens: number;
}

/** A request that was accepted. */
export interface TextAnswer extends AsyncIterable<TextEvent> {
  readonly promptTokens: number;
}

/**
 * What the handlers ask for text: an engine in this thread (`localService`), one in a worker (`workerService` of
 * `@transmla/server/node`), or something of one's own.
 */
export interface TextService {
  readonly model: ServedModel;
  /**
   * Accepts or refuses a request before anything is computed. The answer is read once; aborting ends it and throws the signal's
   * reason to its reader.
   *
   * @throws errors with a `code` of GenerationError or ServerError; `Overloaded` is answered with 429
   */
  submit(request: TextRequest, signal: AbortSignal): Promise<TextAnswer>;
  /** How busy it is; a moment ago will do. */
  readonly load: EngineLoad;
  /** Undefined while all is well, else what has happened to it. */
  readonly failure: string | undefined;
}

/** A service that runs in this thread. */
export function localService(
  engine: TextEngine,
  { id, contextTokens }: { readonly id: string; readonly contextTokens: number },
): TextService {
  const created = Math.floor(Date.now() / 1000);
  return {
    model: { id, created, contextTokens },
    submit: async (request, signal) => engine.submit(request, signal),
    get load() {
      return engine.load;
    },
    failure: undefined,
  };
}
