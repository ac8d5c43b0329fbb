import { Hono, type Context } from "hono";
import { ServerError, type Answer } from "./errors";
import { eventStream } from "./http/event-stream";
import { checkHost, KeyGuard, readJson } from "./http/guards";
import { defaultLimits, type Limits } from "./limits";
import { Metrics } from "./metrics";
import { answerChunks, errorBody, wholeAnswer, type OpenTask } from "./openai/answers";
import { chatProtocol, completionProtocol, type Protocol } from "./openai/protocol";
import { chatRequest, completionRequest, type OpenAiRequest } from "./openai/request";
import type { JsonObject } from "./openai/fields";
import type { ServedModel, TextAnswer, TextService } from "./service";

export interface HandlerOptions {
  /** Wanted on every route but `/health`. Without one, whoever reaches the server may use it. */
  readonly apiKeys?: readonly string[] | undefined;
  /** Names that the Host header may have, without port (default: any). A server on loopback should say its own. */
  readonly allowedHosts?: readonly string[] | undefined;
  readonly limits?: Partial<Limits> | undefined;
  /** Told of failures that the client is told nothing about. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
}

/** The OpenAI protocol for one model. Made by `openaiHandler`. */
export interface OpenAiHandler {
  /**
   * Answers a request; never throws. `cut` closes its connection, where the runtime lets one do that: for readers who are too slow
   * (default: the body ends with an error).
   */
  readonly fetch: (request: Request, cut?: () => void) => Promise<Response>;
  /** Requests for text that are not yet answered in full. */
  readonly inFlight: number;
  /** Requests answered, of every route. */
  readonly answered: number;
  /** From now on refuses new requests (503) and finishes those that are open; resolves when there are none. */
  drain(): Promise<void>;
}

interface Connection {
  readonly cut: (() => void) | undefined;
}

type Reader = (body: JsonObject, model: ServedModel, limits: Limits) => OpenAiRequest;

/**
 * Answers `/v1/models`, `/v1/completions`, `/v1/chat/completions`, `/health` and `/metrics` for a service, anywhere `Request` and
 * `Response` exist:
 *
 *     export default { fetch: openaiHandler(service, { apiKeys: [key] }).fetch };
 */
export function openaiHandler(service: TextService, options: HandlerOptions = {}): OpenAiHandler {
  return new Handler(service, options);
}

class Handler implements OpenAiHandler {
  private readonly app = new Hono<{ Bindings: Connection }>();
  private readonly metrics = new Metrics();
  private readonly limits: Limits;
  private readonly keys: KeyGuard | undefined;
  private readonly hosts: ReadonlySet<string> | undefined;
  private drained: (() => void)[] | undefined;

  constructor(
    private readonly service: TextService,
    private readonly options: HandlerOptions,
  ) {
    const { apiKeys = [], allowedHosts, limits } = options;
    this.limits = { ...defaultLimits, ...limits };
    this.keys = apiKeys.length > 0 ? new KeyGuard(apiKeys) : undefined;
    this.hosts = allowedHosts && new Set(allowedHosts.map((name) => name.toLowerCase()));
    this.addRoutes();
  }

  get inFlight(): number {
    return this.metrics.inFlight;
  }

  get answered(): number {
    return this.metrics.answers;
  }

  /** A function of its own, so that it can be handed to a runtime, which may add arguments. */
  readonly fetch = async (request: Request, cut?: unknown): Promise<Response> => {
    const connection = { cut: typeof cut === "function" ? (cut as () => void) : undefined };
    const response = await this.app.fetch(request, connection);
    const { pathname } = new URL(request.url);
    const route = this.app.routes.some(({ path }) => path === pathname) ? pathname : "other";
    this.metrics.answered(route, response.status);
    return response;
  };

  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.drained = [...(this.drained ?? []), resolve];
      this.settle();
    });
  }

  private addRoutes(): void {
    const { app, service } = this;
    const card = ({ id, created }: ServedModel) => ({
      id,
      object: "model",
      created,
      owned_by: "transmla",
    });
    app.onError((error) => this.failed(error));
    app.use(async ({ req }, next) => {
      if (this.hosts) checkHost(req.url, this.hosts);
      if (req.path !== "/health") await this.keys?.check(req.header("authorization") ?? null);
      await next();
    });
    app.get("/health", (context) => this.health(context));
    app.get("/metrics", (context) =>
      context.text(this.metrics.text(service), 200, {
        "content-type": "text/plain; version=0.0.4; charset=utf-8",
      }),
    );
    app.get("/v1/models", (context) =>
      context.json({ object: "list", data: [card(service.model)] }),
    );
    app.get("/v1/models/:id{.+}", (context) => {
      const id = context.req.param("id");
      if (id === service.model.id) return context.json(card(service.model));
      throw new ServerError("ModelNotFound", `The model ${JSON.stringify(id)} is not served here.`);
    });
    this.addTextRoute("/v1/completions", completionRequest, completionProtocol);
    this.addTextRoute("/v1/chat/completions", chatRequest, chatProtocol);
    app.notFound(() =>
      this.failed(new ServerError("NotFound", "There is no such route; see /v1/models.")),
    );
  }

  private addTextRoute(path: string, read: Reader, protocol: Protocol): void {
    this.app.post(path, ({ req, env }) => this.text(req.raw, read, protocol, env.cut));
    this.app.all(path, () => {
      throw new ServerError("MethodNotAllowed", `${path} is asked with POST.`);
    });
  }

  private health(context: Context): Response {
    const { failure } = this.service;
    if (failure !== undefined) return context.json({ status: "failed" }, 503);
    if (this.drained) return context.json({ status: "draining" }, 503);
    return context.json({ status: "ok" });
  }

  /** Answers a request for text, counting it for as long as anything of it is open. */
  private async text(
    raw: Request,
    read: Reader,
    protocol: Protocol,
    cut: Connection["cut"],
  ): Promise<Response> {
    this.admit();
    this.metrics.inFlight++;
    const controller = new AbortController();
    const leave = () => controller.abort(raw.signal.reason);
    raw.signal.addEventListener("abort", leave, { once: true });
    if (raw.signal.aborted) leave();
    let isStreaming = false;
    const done = once(() => {
      raw.signal.removeEventListener("abort", leave);
      this.metrics.inFlight--;
      this.settle();
    });
    try {
      const body = await readJson(raw, this.limits.bodyBytes);
      const request = read(body, this.service.model, this.limits);
      const task = await this.open(request, protocol, controller);
      if (!request.stream) return Response.json(await wholeAnswer(task));
      isStreaming = true;
      return this.stream(task, controller, done, cut);
    } finally {
      if (!isStreaming) done();
    }
  }

  private admit(): void {
    if (this.drained) throw new ServerError("Draining", "The server is about to stop.");
    const { failure } = this.service;
    if (failure !== undefined) throw new ServerError("ServiceDown", "The engine has stopped.");
    if (this.metrics.inFlight < this.limits.requests) return;
    throw new ServerError("TooManyRequests", "Too many requests are open; try again.", {
      limit: this.limits.requests,
    });
  }

  /** All prompts are accepted or none. */
  private async open(
    request: OpenAiRequest,
    protocol: Protocol,
    controller: AbortController,
  ): Promise<OpenTask> {
    const answers: TextAnswer[] = [];
    try {
      for (const text of request.texts) {
        answers.push(this.watched(await this.service.submit(text, controller.signal)));
      }
    } catch (error) {
      controller.abort(error);
      throw error;
    }
    const envelope = {
      id: protocol.idPrefix + crypto.randomUUID().replaceAll("-", ""),
      created: Math.floor(Date.now() / 1000),
      model: this.service.model.id,
    };
    return { request, protocol, envelope, answers };
  }

  /** An answer whose tokens are counted as they come. */
  private watched(answer: TextAnswer): TextAnswer {
    const { metrics } = this;
    metrics.prompt(answer.promptTokens);
    return {
      promptTokens: answer.promptTokens,
      async *[Symbol.asyncIterator]() {
        for await (const event of answer) {
          if (event.type === "end") metrics.ended(event);
          yield event;
        }
      },
    };
  }

  private stream(
    task: OpenTask,
    controller: AbortController,
    done: () => void,
    cut: Connection["cut"],
  ): Response {
    const chunks = async function* () {
      try {
        yield* answerChunks(task);
      } finally {
        done();
      }
    };
    const body = eventStream(chunks(), {
      limits: this.limits,
      failed: (error) => this.told(error).body,
      abandon: (reason) => controller.abort(reason),
      cut,
    });
    return new Response(body, {
      headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" },
    });
  }

  private failed(error: unknown): Response {
    const { answer, body } = this.told(error);
    return Response.json(body, { status: answer.status, headers: headersOf(answer) });
  }

  private told(error: unknown): ReturnType<typeof errorBody> {
    const told = errorBody(error);
    if (told.answer.status === 500) this.options.onFailure?.(error);
    return told;
  }

  private settle(): void {
    if (this.metrics.inFlight > 0) return;
    for (const resolve of this.drained ?? []) resolve();
  }
}

function headersOf({ status, retryAfter }: Answer): Record<string, string> {
  const headers: Record<string, string> = {};
  if (retryAfter !== undefined) headers["retry-after"] = String(retryAfter);
  if (status === 401) headers["www-authenticate"] = "Bearer";
  return headers;
}

function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    action();
  };
}
