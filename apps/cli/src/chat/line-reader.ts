import { createInterface, type Interface } from "node:readline";
import type { Io } from "../io";

/** Lines that a person types, or that come from a pipe. */
export class LineReader {
  private readonly readline: Interface;
  private readonly lines: string[] = [];
  private ended = false;
  private wake: (() => void) | undefined;

  /** `onInterrupt` is called for Ctrl-C on a terminal, which otherwise would end the program. */
  constructor({ stdin, stdout, signal }: Io, onInterrupt: () => void) {
    const isTerminal = stdin?.isTTY === true && stdout.isTTY === true;
    this.readline = createInterface({
      input: stdin ?? process.stdin,
      // Only a terminal shows what is typed.
      ...(isTerminal && { output: stdout as unknown as NodeJS.WritableStream }),
      terminal: isTerminal,
    });
    this.readline.on("SIGINT", onInterrupt);
    this.readline.on("line", (line) => this.take(line));
    this.readline.on("close", () => this.take(undefined));
    signal.addEventListener("abort", () => this.close(), { once: true });
  }

  /** The next line, undefined at the end of the input. */
  async next(prompt: string): Promise<string | undefined> {
    if (this.isTerminal && !this.ended && this.lines.length === 0) {
      this.readline.setPrompt(prompt);
      this.readline.prompt();
    }
    while (this.lines.length === 0 && !this.ended) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    return this.lines.shift();
  }

  /** Whether a person sits in front of it. */
  get isTerminal(): boolean {
    return this.readline.terminal;
  }

  /** Shows the prompt again, with what was typed so far. */
  refresh(): void {
    this.readline.prompt(true);
  }

  close(): void {
    this.readline.close();
  }

  private take(line: string | undefined): void {
    if (line === undefined) this.ended = true;
    else this.lines.push(line);
    this.wake?.();
  }
}
