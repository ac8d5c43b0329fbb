import type { GrammarPart } from "./grammar";

/** States that are remembered at most; then the table is begun anew. A state takes about 10 kB with its mask. */
const maxStates = 4096;
/** Ways to read the text so far that are followed at most; more are dropped, which forbids texts but never allows a wrong one. */
const maxReadings = 256;

/** What is still to be matched, the next part on top. Equal stacks are the same object. */
interface Stack {
  readonly id: number;
  readonly part: GrammarPart;
  /** Undefined at the bottom. */
  readonly below: Stack | undefined;
}

/** Where a text stands in the grammar: everything that its readings have still to match. */
export interface AutomatonState {
  /** The text may end here. */
  readonly accepting: boolean;
  /** No byte may follow. */
  readonly final: boolean;
  /** Tokens that may come next, one bit each; filled in by the vocabulary that asks. */
  allowed?: Uint32Array;
}

interface State extends AutomatonState {
  /** Stacks with bytes on top. */
  readonly stacks: readonly Stack[];
  /** By byte: the state after it, null where it is not allowed, undefined where nobody has asked. */
  readonly next: (State | null | undefined)[];
}

/**
 * A pushdown automaton that is made deterministic as it is used: the set of stacks that a text leads to is one state, equal sets are
 * the same state, and every step from state to state is worked out once. So a text costs an array look-up per byte nearly always,
 * although the grammar may be recursive and ambiguous.
 */
export class Automaton {
  readonly start: AutomatonState;
  private states = new Map<string, State>();
  private stacks = new Map<string, Stack>();
  private readonly numbers = new Map<GrammarPart, number>();
  private readonly repeats = new Map<string, GrammarPart>();
  private nextStack = 1;

  constructor(grammar: GrammarPart) {
    this.start = this.stateOf([this.push(grammar, undefined)]);
  }

  /** The state after one more byte; null if it is not allowed. */
  step(from: AutomatonState, byte: number): AutomatonState | null {
    const state = from as State;
    const known = state.next[byte];
    if (known !== undefined) return known;
    const left = state.stacks.filter(({ part }) => part.kind === "bytes" && part.allows[byte]);
    const next = left.length === 0 ? null : this.stateOf(left.map(({ below }) => below));
    state.next[byte] = next;
    return next;
  }

  private stateOf(tops: readonly (Stack | undefined)[]): State {
    const { stacks, accepting } = this.closure(tops);
    const key = `${accepting}:${stacks.map(({ id }) => id).join()}`;
    const known = this.states.get(key);
    if (known) return known;
    if (this.states.size >= maxStates) this.forget();
    const next = Array.from<State | null | undefined>({ length: 256 });
    const state: State = { stacks, accepting, final: stacks.length === 0, next };
    this.states.set(key, state);
    return state;
  }

  /** States and stacks in use stay valid: they only stop being found again. */
  private forget(): void {
    this.states = new Map();
    this.stacks = new Map();
  }

  /** Unfolds what is on top until every stack begins with bytes; `accepting` if one of them is used up. */
  private closure(tops: readonly (Stack | undefined)[]): {
    stacks: readonly Stack[];
    accepting: boolean;
  } {
    const open = [...tops];
    const seen = new Set<Stack>();
    const ready = new Set<Stack>();
    let accepting = false;
    while (open.length > 0) {
      const stack = open.pop();
      if (stack === undefined) accepting = true;
      else if (stack.part.kind === "bytes") {
        if (ready.size < maxReadings) ready.add(stack);
      } else if (!seen.has(stack)) {
        seen.add(stack);
        open.push(...this.unfold(stack.part, stack.below));
      }
    }
    return { stacks: [...ready].toSorted((a, b) => a.id - b.id), accepting };
  }

  private unfold(
    part: Exclude<GrammarPart, { kind: "bytes" }>,
    below: Stack | undefined,
  ): (Stack | undefined)[] {
    switch (part.kind) {
      case "sequence":
        return [part.parts.reduceRight((rest, next) => this.push(next, rest), below)];
      case "choice":
        return part.parts.map((option) => this.push(option, below));
      case "reference":
        return [this.push(part.resolve(), below)];
      case "repeat": {
        const { least, most } = part;
        const skip = least === 0 ? [below] : [];
        if (most === 0) return skip;
        const again = this.repeat(part.part, Math.max(0, least - 1), most - 1);
        return [...skip, this.push(part.part, this.push(again, below))];
      }
    }
  }

  private push(part: GrammarPart, below: Stack | undefined): Stack {
    const key = `${this.numberOf(part)}/${below?.id ?? 0}`;
    let stack = this.stacks.get(key);
    if (stack === undefined) {
      stack = { id: this.nextStack++, part, below };
      this.stacks.set(key, stack);
    }
    return stack;
  }

  /** Equal repetitions are the same part, so that a loop comes back to where it began. */
  private repeat(part: GrammarPart, least: number, most: number): GrammarPart {
    const key = `${this.numberOf(part)}/${least}/${most}`;
    let made = this.repeats.get(key);
    if (made === undefined) {
      made = { kind: "repeat", part, least, most };
      this.repeats.set(key, made);
    }
    return made;
  }

  private numberOf(part: GrammarPart): number {
    let number = this.numbers.get(part);
    if (number === undefined) {
      number = this.numbers.size;
      this.numbers.set(part, number);
    }
    return number;
  }
}
