import type { CommandContext } from "../command";
import { describeFailure } from "../errors";
import { count, printable, rate } from "../terminal/format";
import type { TextModel } from "../text-model";
import { chatCommands } from "./chat-commands";
import type { AnswerOptions, ChatSession, Turn } from "./chat-session";
import type { ChatStore } from "./chat-store";
import { LineReader } from "./line-reader";

/** Reads what is said, prints what is answered, until somebody leaves. */
export class ChatLoop {
  private readonly lines: LineReader;
  private readonly turns: Turn[] = [];
  /** The answer that is being written. */
  private answering: AbortController | undefined;
  private isLeaving = false;

  constructor(
    private readonly context: CommandContext,
    private readonly loaded: TextModel,
    private readonly session: ChatSession,
    private readonly store: ChatStore,
    private readonly options: AnswerOptions,
  ) {
    this.lines = new LineReader(context.io, () => this.interrupted());
  }

  /** What every answer took. Throws the reason for which the program is stopped, and, with `--json`, what goes wrong. */
  async run(): Promise<readonly Turn[]> {
    const { terminal, signal } = this.context;
    const { length } = this.session;
    const beginning =
      length > 0 ? `going on after ${count(length)} messages` : "a new conversation";
    terminal.note(`${beginning} · /help tells what can be typed`);
    try {
      for (;;) {
        const said = await this.message(terminal.colour.cyan("> "));
        this.isLeaving = false;
        // Ctrl-D leaves the cursor behind the prompt.
        if (said === undefined && this.lines.isTerminal) terminal.print("");
        if (said === undefined || (await this.take(said))) break;
      }
    } finally {
      this.lines.close();
    }
    signal.throwIfAborted();
    return this.turns;
  }

  /** A line, or several where each but the last ends with a backslash. */
  private async message(prompt: string): Promise<string | undefined> {
    let said = await this.lines.next(prompt);
    while (said?.endsWith("\\")) {
      const more = await this.lines.next("  ");
      said = `${said.slice(0, -1)}\n${more ?? ""}`;
    }
    return said;
  }

  /** True when that ends the conversation. */
  private async take(said: string): Promise<boolean> {
    const { session, loaded } = this;
    const { terminal } = this.context;
    const word = said.trim();
    if (word === "") return false;
    if (!word.startsWith("/")) {
      await this.answer(said);
      return false;
    }
    const command = chatCommands[word];
    if (command)
      return command.run({ session, loaded, print: (...lines) => terminal.print(...lines) });
    terminal.print(`${printable(word)} is not known; /help tells what is.`);
    return false;
  }

  private async answer(said: string): Promise<void> {
    const { terminal, signal } = this.context;
    this.answering = new AbortController();
    const either = AbortSignal.any([signal, this.answering.signal]);
    try {
      terminal.working("reading");
      const turn = await this.print(this.session.say(said, this.options, either));
      this.turns.push(turn);
      terminal.print("");
      terminal.note(remarks(turn));
      await this.store.write(this.session.kept);
    } catch (error) {
      if (signal.aborted || terminal.mode.json) throw error;
      const { message, code } = describeFailure(error);
      terminal.error(message, code);
      if (code === "PromptTooLong" || code === "CacheTooSmall") {
        terminal.note("The conversation has filled what the model can see: /clear begins anew.");
      }
    } finally {
      this.answering = undefined;
    }
  }

  private async print(pieces: AsyncGenerator<string, Turn, undefined>): Promise<Turn> {
    for (;;) {
      const { value, done } = await pieces.next();
      if (done) return value;
      this.context.terminal.write(printable(value));
    }
  }

  /** Ctrl-C: stops an answer; without one the second one leaves. */
  private interrupted(): void {
    const { terminal } = this.context;
    if (this.answering) return this.answering.abort(new Error("stopped"));
    if (this.isLeaving) return this.lines.close();
    this.isLeaving = true;
    terminal.print("");
    terminal.note("Ctrl-C once more, Ctrl-D or /exit leaves; the conversation is kept.");
    this.lines.refresh();
  }
}

function remarks(turn: Turn): string {
  const { promptTokens, cachedTokens, tokens, decodeSeconds, finishReason } = turn;
  if (finishReason === "interrupted") return `stopped after ${count(tokens)} tokens`;
  const speed = tokens > 1 ? ` at ${rate((tokens - 1) / decodeSeconds, "tokens")}` : "";
  const parts = [
    `${count(promptTokens - cachedTokens)} tokens read, ${count(cachedTokens)} known`,
    `${count(tokens)} written${speed}`,
  ];
  if (finishReason === "length") parts.push("cut off by --max-tokens or the end of the context");
  return parts.join(" · ");
}
