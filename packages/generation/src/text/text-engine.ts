import type {
  EngineLoad,
  EngineRequest,
  EngineRun,
  EngineToken,
  TokenConstraint,
} from "../engine/request";
import { GenerationError } from "../errors";
import { checkStops } from "../stop-matcher";
import { JsonConstraints } from "../structured/json-constraint";
import type { ChatTemplate } from "../template/chat-template";
import type { Tokenizer } from "../tokenizer/tokenizer";
import { ChoiceText } from "./choice-text";
import { ConversationEncoder, GrowingConversation, type ConversationState } from "./conversation";
import { checkPromptLength } from "./prompt-length";
import type { ChosenToken, Prompt, TextEvent, TextRequest, TextToken } from "./text-request";

/** What runs tokens: `Engine`, or anything else that keeps its promises. */
export interface TokenEngine {
  submit(request: EngineRequest): EngineRun;
  readonly load: EngineLoad;
}

/** What a text engine needs to know of the model: `model.config`. */
export interface TextLimits {
  readonly maxPositions: number;
  readonly eosTokenIds: readonly number[];
}

/**
 * An engine that speaks text: encodes prompts, renders conversations, streams whole characters, finds stop strings across tokens,
 * shapes JSON.
 *
 *     const run = new TextEngine(engine, tokenizer, model.config, template).submit({ prompt: "Once", maxTokens: 50, n: 2 });
 *     for await (const event of run) if (event.type === "text") …
 */
export class TextEngine {
  private readonly stopTokenIds: readonly number[];
  private readonly constraints: JsonConstraints;
  private readonly conversations: ConversationEncoder | undefined;
  private bytesByToken: (Uint8Array | undefined)[] | undefined;

  /** `template` is needed for conversations. */
  constructor(
    private readonly engine: TokenEngine,
    readonly tokenizer: Tokenizer,
    private readonly limits: TextLimits,
    template?: ChatTemplate | undefined,
  ) {
    this.conversations = template && new ConversationEncoder(tokenizer, template);
    this.stopTokenIds = stopTokens(tokenizer, limits);
    this.constraints = new JsonConstraints(() => this.tokenBytes(), this.stopTokenIds);
  }

  get load(): EngineLoad {
    return this.engine.load;
  }

  /**
   * Starts a request. Aborting throws the signal's reason to the reader; so does leaving the loop, which ends the request.
   *
   * @throws GenerationError for whatever is wrong with the request or the moment (`Overloaded`), before anything is computed
   */
  submit(request: TextRequest, signal?: AbortSignal): TextRun {
    const { prompt, maxTokens, n = 1, stop = [], logprobs, format, ...sampling } = request;
    const stops = checkStops(stop);
    const promptTokens = this.encode(prompt);
    const left = Math.max(1, this.limits.maxPositions - promptTokens.length);
    const controller = new AbortController();
    const signals = signal ? [signal, controller.signal] : [controller.signal];
    const run = this.engine.submit({
      promptTokens,
      maxTokens: maxTokens ?? left,
      sampling,
      stopTokenIds: this.stopTokenIds,
      signal: AbortSignal.any(signals),
      logprobs,
      constraint: this.constraint(format),
      n,
    });
    const choices = Array.from(
      { length: n },
      () => new ChoiceText(this.tokenizer, promptTokens, stops),
    );
    const told = (token: EngineToken) => (logprobs === undefined ? undefined : this.chosen(token));
    return new TextRun(run, choices, promptTokens.length, told, () => controller.abort());
  }

  /**
   * The tokens of a prompt.
   * @throws GenerationError `MissingTemplate`, `TemplateFailed`, `TemplateTooCostly`, `PromptTooLong`, `UnknownToken`
   */
  encode(prompt: Prompt): Int32Array {
    const { maxPositions } = this.limits;
    if (typeof prompt === "string") {
      checkPromptLength(this.tokenizer, prompt, maxPositions);
      return this.tokenizer.encode(prompt);
    }
    if (!("messages" in prompt)) return Int32Array.from(prompt);
    const encoder = this.conversationEncoder();
    const rendered = encoder.render(prompt);
    checkPromptLength(this.tokenizer, rendered, maxPositions);
    return encoder.encode(rendered);
  }

  /** A conversation turn by turn, from its beginning or from where it was left. Throws GenerationError `MissingTemplate`. */
  conversation(state?: ConversationState): GrowingConversation {
    return new GrowingConversation(this.tokenizer, this.conversationEncoder(), state);
  }

  private conversationEncoder(): ConversationEncoder {
    if (this.conversations) return this.conversations;
    throw new GenerationError(
      "MissingTemplate",
      "The model has no chat template, so that it knows no conversations. Give it a plain prompt.",
    );
  }

  private constraint(format: TextRequest["format"]): TokenConstraint | undefined {
    if (format === undefined) return undefined;
    return format.type === "json"
      ? this.constraints.object()
      : this.constraints.schema(format.schema);
  }

  private chosen({ token, logprob = 0, top = [] }: EngineToken): ChosenToken {
    const tops = top.map((other) => this.described(other.token, other.logprob));
    return { ...this.described(token, logprob), top: tops };
  }

  private described(id: number, logprob: number): TextToken {
    const bytes = Array.from(this.tokenBytes()[id] ?? []);
    return { id, text: this.tokenizer.decode([id]), bytes, logprob };
  }

  private tokenBytes(): readonly (Uint8Array | undefined)[] {
    return (this.bytesByToken ??= this.tokenizer.tokenBytes());
  }
}

/** A started request, made by `TextEngine.submit`. Iterate once. */
export class TextRun implements AsyncIterable<TextEvent> {
  constructor(
    private readonly run: EngineRun,
    private readonly choices: readonly ChoiceText[],
    readonly promptTokens: number,
    private readonly told: (token: EngineToken) => ChosenToken | undefined,
    private readonly abandon: () => void,
  ) {}

  async *[Symbol.asyncIterator](): AsyncGenerator<TextEvent, void, undefined> {
    let open = this.choices.length;
    try {
      for await (const token of this.run) {
        const { choice } = token;
        const text = this.choices[choice]!;
        if (text.stopped) continue;
        yield* textEvent(choice, text.push(token.token, this.told(token)));
        if (!text.stopped) continue;
        yield this.end(choice);
        if (--open === 0) return;
      }
      for (const [choice, text] of this.choices.entries()) {
        if (text.stopped) continue;
        yield* textEvent(choice, text.end());
        yield this.end(choice);
      }
    } finally {
      this.abandon();
    }
  }

  private end(choice: number): TextEvent {
    const { finishReason, cachedTokens, timings } = this.run.summaries[choice]!;
    const { stopped, tokens } = this.choices[choice]!;
    const reason = stopped ? "stop" : (finishReason ?? "length");
    return { type: "end", choice, finishReason: reason, tokens, cachedTokens, timings };
  }
}

function* textEvent(
  choice: number,
  { text, tokens }: { text: string; tokens: readonly ChosenToken[] },
): Generator<TextEvent> {
  if (text !== "" || tokens.length > 0) yield { type: "text", choice, text, tokens };
}

/** What ends a text: the tokens of the model's config and the one that the tokenizer names, which chat models often differ in. */
function stopTokens(tokenizer: Tokenizer, { eosTokenIds }: TextLimits): readonly number[] {
  const named = tokenizer.config["eos_token"];
  const id = typeof named === "string" ? tokenizer.tokenToId(named) : undefined;
  return [...new Set([...eosTokenIds, ...(id === undefined ? [] : [id])])];
}
