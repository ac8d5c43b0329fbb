import type { Output } from "../io";
import type { Colour } from "./colour";
import { percent, rate, wholeSeconds } from "./format";

/** How far a long piece of work is. */
export interface ProgressReport {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  /** What is counted: "tokens", "layers". */
  readonly unit: string;
}

/** Milliseconds between two drawings: on a terminal, and as lines of a log. */
const TERMINAL_INTERVAL = 80;
const LOG_INTERVAL = 5000;

/**
 * Progress on standard error: one line that is drawn over on a terminal, a line every few seconds elsewhere. Rate and remaining
 * time are averages since the label last changed.
 */
export class Progress {
  private label: string | undefined;
  private started = 0;
  private lastHeard = 0;
  private lastDrawn = -Infinity;
  private drawn = false;

  constructor(
    private readonly output: Output,
    private readonly colour: Colour,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Begins a piece of work of which nothing is counted yet. */
  start(label: string): void {
    this.lastHeard = this.now();
    this.begin(label);
    if (this.isTerminal) this.draw(label.slice(0, this.columns - 1));
  }

  report(report: ProgressReport): void {
    // What is reported first has been under way since something was last heard.
    if (report.label !== this.label) this.begin(report.label);
    const now = this.now();
    this.lastHeard = now;
    const interval = this.isTerminal ? TERMINAL_INTERVAL : LOG_INTERVAL;
    if (now - this.lastDrawn < interval) return;
    if (!this.isTerminal && report.done === report.total) return;
    this.lastDrawn = now;
    this.draw(this.isTerminal ? this.bar(report) : this.line(report));
  }

  /** Removes the line from a terminal. */
  clear(): void {
    if (this.drawn && this.isTerminal) this.output.write("\r\u001B[K");
    this.drawn = false;
    this.label = undefined;
  }

  private get isTerminal(): boolean {
    return this.output.isTTY === true;
  }

  private get columns(): number {
    return this.output.columns ?? 80;
  }

  private begin(label: string): void {
    this.label = label;
    this.started = this.lastHeard;
    // A log hears of a piece of work only when it takes longer than the interval.
    this.lastDrawn = this.isTerminal ? -Infinity : this.started;
  }

  private draw(text: string): void {
    this.output.write(this.isTerminal ? `\r${text}\u001B[K` : `${text}\n`);
    this.drawn = true;
  }

  private bar(report: ProgressReport): string {
    const { done, total, label } = report;
    const { columns } = this;
    const numbers = `${percent(fractionOf(report), 0).padStart(5)}  ${this.estimate(report)}`;
    const room = columns - label.length - numbers.length - 5;
    if (room < 8) return `${label} ${numbers}`.slice(0, columns - 1);
    const width = Math.min(room, 30);
    const filled = total > 0 ? Math.round((width * done) / total) : 0;
    const bar = this.colour.green("━".repeat(filled)) + this.colour.dim("─".repeat(width - filled));
    return `${label}  ${bar} ${numbers}`;
  }

  private line(report: ProgressReport): string {
    return `${report.label}: ${percent(fractionOf(report), 0)}, ${this.estimate(report)}`;
  }

  private estimate({ done, total, unit }: ProgressReport): string {
    const seconds = (this.now() - this.started) / 1000;
    const perSecond = done / seconds;
    if (!(perSecond > 0) || !Number.isFinite(perSecond)) return "";
    const left = (total - done) / perSecond;
    return `${rate(perSecond, unit)}, ${wholeSeconds(left)} left`;
  }
}

const fractionOf = ({ done, total }: ProgressReport) => (total > 0 ? done / total : 0);
