import type { Progress } from "../worker/operation";

/** Extrapolates a step from its first report on. */
export class StepClock {
  private label: string | undefined;
  private started = 0;
  private from = 0;

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Seconds until `done` is `total`; undefined as long as nothing can be said. */
  remaining({ label, done, total }: Progress): number | undefined {
    if (label !== this.label || done < this.from) {
      this.label = label;
      this.started = this.now();
      this.from = done;
      return undefined;
    }
    const progressed = done - this.from;
    if (progressed <= 0) return undefined;
    return ((this.now() - this.started) / 1000 / progressed) * (total - done);
  }
}
