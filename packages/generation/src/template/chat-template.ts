import { Environment, parse, tokenize } from "@huggingface/jinja";
import { GenerationError } from "../errors";
import { isObject, type JsonObject } from "../tokenizer/json";
import { TemplateMeter, type TemplateBudget } from "./budget";
import { TemplateRefusal, templateGlobals } from "./globals";
import { MeteredInterpreter } from "./metered-interpreter";

/** A message of a conversation. Templates look at whatever fields they know. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** Functions that the model may call, as the template wants them (OpenAI's form). */
  readonly tools?: readonly unknown[] | undefined;
  /** End where the assistant's answer begins (default true). */
  readonly addGenerationPrompt?: boolean | undefined;
  /** Further variables of the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  /** What `strftime_now` tells (default: now). */
  readonly now?: (() => Date) | undefined;
}

/** The largest published templates have 20 kB. */
const longestTemplate = 256 << 10;

/**
 * A chat template in Jinja, as models bring it in `tokenizer_config.json`, `chat_template.jinja` or a GGUF file. It is a program by
 * strangers: it runs on `@huggingface/jinja`, which reaches nothing outside, and under a budget. Never take one from a request.
 */
export class ChatTemplate {
  private readonly program: ReturnType<typeof parse>;

  /** Throws GenerationError `InvalidTemplate`. */
  constructor(
    source: string,
    /** Variables that every rendering has, such as `bos_token`. */
    private readonly variables: Readonly<Record<string, unknown>> = {},
    private readonly budget: TemplateBudget = {},
  ) {
    if (source.length > longestTemplate) {
      throw new GenerationError(
        "InvalidTemplate",
        `The chat template has ${source.length} characters, more than the limit of ${longestTemplate}.`,
        { length: source.length, limit: longestTemplate },
      );
    }
    try {
      this.program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
    } catch (cause) {
      throw new GenerationError(
        "InvalidTemplate",
        `The chat template cannot be read: ${messageOf(cause)}`,
        {},
        { cause },
      );
    }
  }

  /**
   * The template of a tokenizer's `config`: its `chat_template`, or the one named `default` of several. Undefined without one.
   * @throws GenerationError `InvalidTemplate`
   */
  static fromConfig(config: JsonObject, budget?: TemplateBudget): ChatTemplate | undefined {
    const source = templateSource(config["chat_template"]);
    if (source === undefined) return undefined;
    const names = ["bos_token", "eos_token", "unk_token", "pad_token"];
    const special = Object.fromEntries(
      names.flatMap((name) => {
        const text = tokenText(config[name]);
        return text === undefined ? [] : [[name, text]];
      }),
    );
    return new ChatTemplate(source, special, budget);
  }

  /**
   * The conversation as text, special tokens included: encode it with `{ addSpecialTokens: false, parseSpecialTokens: true }`.
   * @throws GenerationError `TemplateFailed` (also where the template refuses the messages), `TemplateTooCostly`
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const meter = new TemplateMeter(this.budget);
    const environment = new Environment();
    const values = {
      ...Object.fromEntries(templateGlobals(meter, options.now ?? (() => new Date()))),
      ...this.variables,
      ...options.variables,
      messages,
      tools: options.tools ?? null,
      add_generation_prompt: options.addGenerationPrompt ?? true,
    };
    try {
      for (const [name, value] of Object.entries(values)) environment.set(name, value);
      return String(new MeteredInterpreter(environment, meter).run(this.program).value);
    } catch (cause) {
      if (GenerationError.isInstance(cause)) throw cause;
      const who = cause instanceof TemplateRefusal ? "refused the messages" : "failed";
      throw new GenerationError(
        "TemplateFailed",
        `The chat template ${who}: ${messageOf(cause)}`,
        {},
        { cause },
      );
    }
  }
}

function templateSource(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.filter(isObject).find(({ name }) => name === "default");
  return typeof named?.["template"] === "string" ? named["template"] : undefined;
}

/** Special tokens are strings, or objects that hold one. */
function tokenText(value: unknown): string | undefined {
  const text = isObject(value) ? value["content"] : value;
  return typeof text === "string" ? text : undefined;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
