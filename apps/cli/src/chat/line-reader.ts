import { createInterface, type Interface } from "node:readline";
import type { Io } from "../io";

/** Lines that a person types, or that come from a pipe. */
export class LineReader {
  private readonly readline: Interface;
  private readonly lines: string[] = [];
  private ended = false;
  private wake: (() => void) | undefined;
  /** Somebody is asked for a line; what is typed at other times is shown with the next prompt. */
  private isAsking = false;

  /** `onInterrupt` is called for Ctrl-C on a terminal, which otherwise would end the program. */
  constructor(
    private readonly io: Io,
    onInterrupt: () => void,
  ) {
    const { stdin, stdout, signal } = io;
    const isTerminal = stdin?.isTTY === true && stdout.isTTY === true;
    this.readline = createInterface({
      input: stdin ?? process.stdin,
      ...(isTerminal && { output: this.echo() }),
      terminal: isTerminal,
    });
    this.readline.on("SIGINT", onInterrupt);
    this.readline.on("line", (line) => this.take(line));
    this.readline.on("close", () => this.take(undefined));
    signal.addEventListener("abort", () => this.close(), { once: true });
  }

  /** Whether a person sits in front of it. */
  get isTerminal(): boolean {
    return this.readline.terminal;
  }

  /** The next line, undefined at the end of the input. */
  async next(prompt: string): Promise<string | undefined> {
    if (this.isTerminal && this.lines.length > 0) {
      this.io.stdout.write(`${prompt}${this.lines[0]}\n`);
    } else if (this.isTerminal && !this.ended) {
      this.isAsking = true;
      this.readline.setPrompt(prompt);
      // What was typed meanwhile stays, with the cursor where it is.
      this.readline.prompt(true);
    }
    while (this.lines.length === 0 && !this.ended) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    this.isAsking = false;
    return this.lines.shift();
  }

  /** Shows the prompt again, with what was typed so far. */
  refresh(): void {
    this.readline.prompt(true);
  }

  close(): void {
    this.readline.close();
  }

  /** The terminal as readline sees it: what is typed is shown only while somebody is asked. */
  private echo(): NodeJS.WritableStream {
    const { stdout } = this.io;
    const write = (text: string) => (this.isAsking ? stdout.write(text) : true);
    return Object.assign(Object.create(stdout) as NodeJS.WritableStream, { write });
  }

  private take(line: string | undefined): void {
    if (line === undefined) this.ended = true;
    else this.lines.push(line);
    this.wake?.();
  }
}
