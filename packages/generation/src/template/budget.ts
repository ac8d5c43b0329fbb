import { GenerationError } from "../errors";

/** What rendering a template may cost. */
export interface TemplateBudget {
  /** Expressions and statements evaluated; large values count more (default 500,000). */
  readonly steps?: number | undefined;
  /** Characters of the text and of every value on the way to it; an item of a list counts as 64 (default 4,194,304). */
  readonly characters?: number | undefined;
  /** Milliseconds (default 1,000). */
  readonly milliseconds?: number | undefined;
}

/** Steps between two looks at the clock. */
const clockInterval = 256;
/** A text costs a step for so many characters, and an item of a list is as much as so many of them. */
const charactersPerUnit = 64;

/** Counts what one rendering costs. Every method throws GenerationError `TemplateTooCostly` when it is too much. */
export class TemplateMeter {
  private readonly limits: { readonly [Unit in keyof TemplateBudget]-?: number };
  private readonly started = performance.now();
  private steps = 0;
  private nextLook = clockInterval;

  constructor({ steps = 500_000, characters = 4 << 20, milliseconds = 1000 }: TemplateBudget = {}) {
    this.limits = { steps, characters, milliseconds };
  }

  step(count = 1): void {
    this.steps += count;
    if (this.steps > this.limits.steps) throw tooCostly("steps", this.limits.steps);
    if (this.steps < this.nextLook) return;
    this.nextLook = this.steps + clockInterval;
    const { milliseconds } = this.limits;
    if (performance.now() - this.started > milliseconds) {
      throw tooCostly("milliseconds", milliseconds);
    }
  }

  /** A text of so many characters is there, or will be. */
  text(length: number): void {
    if (length > this.limits.characters) throw tooCostly("characters", this.limits.characters);
    this.step(length / charactersPerUnit);
  }

  /** A list of so many items is there, or will be. */
  list(length: number): void {
    if (length * charactersPerUnit > this.limits.characters) {
      throw tooCostly("characters", this.limits.characters);
    }
    this.step(length / charactersPerUnit);
  }
}

function tooCostly(unit: keyof TemplateBudget, limit: number): GenerationError {
  return new GenerationError(
    "TemplateTooCostly",
    `The chat template was stopped after its budget of ${limit} ${unit}.`,
    { unit, limit },
  );
}
