import type { Io } from "../io";
import { colourFor, type Colour } from "./colour";
import { Progress } from "./progress";

/** How a command talks to a person. With `json` standard output belongs to the one JSON object and people's text is dropped. */
export class Terminal {
  readonly colour: Colour;
  private readonly errorColour: Colour;
  private readonly progress: Progress | undefined;

  constructor(
    private readonly io: Io,
    readonly mode: { readonly json: boolean; readonly quiet: boolean },
  ) {
    this.colour = colourFor(io.stdout, io.env);
    this.errorColour = colourFor(io.stderr, io.env);
    this.progress = mode.quiet ? undefined : new Progress(io.stderr, this.errorColour);
  }

  /** Width for people's text: that of the terminal, within what reads well. */
  get columns(): number {
    return Math.max(40, Math.min(this.io.stdout.columns ?? 80, 100));
  }

  /** Lines of the result. */
  print(...lines: readonly string[]): void {
    if (this.mode.json) return;
    this.clearProgress();
    for (const line of lines) this.io.stdout.write(`${line}\n`);
  }

  /** A piece of the result, without a line break. */
  write(text: string): void {
    if (this.mode.json || text === "") return;
    this.clearProgress();
    this.io.stdout.write(text);
  }

  /** A remark beside the result, on standard error; nothing a program needs. */
  note(text: string): void {
    if (this.mode.quiet || this.mode.json) return;
    this.clearProgress();
    this.io.stderr.write(`${this.errorColour.dim(text)}\n`);
  }

  /** Something the user should know although the work goes on; shown even when quiet. */
  warn(text: string): void {
    this.clearProgress();
    this.io.stderr.write(`${this.errorColour.bold("warning:")} ${text}\n`);
  }

  /** A failure, in one line. */
  error(text: string, code: string): void {
    this.clearProgress();
    const { red, dim } = this.errorColour;
    this.io.stderr.write(`${red("error:")} ${text} ${dim(`[${code}]`)}\n`);
  }

  /** The work that begins now. */
  working(label: string): void {
    this.progress?.start(label);
  }

  /** A listener for the `onProgress` of the libraries. The label is the given one, then the phase where there are phases. */
  progressOf(label?: string): (progress: LibraryProgress) => void {
    return ({ phase, done, total, unit }) => {
      const labels = [label, phase].filter((part) => part !== undefined);
      this.progress?.report({ label: labels.join(": "), done, total, unit });
    };
  }

  clearProgress(): void {
    this.progress?.clear();
  }
}

/** What the packages report. */
interface LibraryProgress {
  readonly phase?: string;
  readonly done: number;
  readonly total: number;
  readonly unit: string;
}
