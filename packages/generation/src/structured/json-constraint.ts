import { GenerationError } from "../errors";
import { Automaton, type AutomatonState } from "./automaton";
import type { GrammarPart } from "./grammar";
import { jsonObject } from "./json-grammar";
import { schemaGrammar } from "./json-schema";
import { TokenTrie } from "./token-trie";

/** Schemas whose automata are kept; the one used longest ago goes first. */
const keptAutomata = 16;

/** Restricts a model to JSON, for one vocabulary. The work on a schema is shared by all texts that it shapes. */
export class JsonConstraints {
  private readonly automata = new Map<string, Automaton>();
  private trie: TokenTrie | undefined;

  /**
   * @param tokenBytes By token id the bytes of its text, undefined for special tokens; asked for when it is first needed.
   * @param stopTokenIds Tokens that end a text, allowed where the JSON is whole.
   */
  constructor(
    private readonly tokenBytes: () => readonly (Uint8Array | undefined)[],
    private readonly stopTokenIds: readonly number[],
  ) {}

  /** Any JSON object. */
  object(): JsonConstraint {
    return this.constraint("object", () => jsonObject);
  }

  /** Values that a JSON schema describes. Throws GenerationError `UnsupportedSchema`, `InvalidSchema`. */
  schema(schema: unknown): JsonConstraint {
    return this.constraint(JSON.stringify(schema), () => schemaGrammar(schema));
  }

  private constraint(key: string, grammar: () => GrammarPart): JsonConstraint {
    const automaton = this.automata.get(key) ?? automatonOf(grammar());
    this.automata.delete(key);
    this.automata.set(key, automaton);
    const [oldest] = this.automata.keys();
    if (this.automata.size > keptAutomata) this.automata.delete(oldest!);
    this.trie ??= new TokenTrie(this.tokenBytes());
    return new JsonConstraint(this.trie, this.stopTokenIds, automaton, automaton.start);
  }
}

function automatonOf(grammar: GrammarPart): Automaton {
  const automaton = new Automaton(grammar);
  const { accepting, final } = automaton.start;
  if (!final || accepting) return automaton;
  throw new GenerationError("InvalidSchema", "JSON schema: it allows no value at all.");
}

/** One text that must become JSON: says which tokens may come next and follows those that do. */
export class JsonConstraint {
  constructor(
    private readonly trie: TokenTrie,
    private readonly stopTokenIds: readonly number[],
    private readonly automaton: Automaton,
    private state: AutomatonState,
  ) {}

  /** The JSON is whole and cannot go on. A whole one that could, such as `12`, ends with a stop token. */
  get complete(): boolean {
    return this.state.final;
  }

  /**
   * Sets the logits `[vocab]` of tokens that may not come next to minus infinity, in place.
   * @throws GenerationError `ConstraintDeadEnd` where the vocabulary has no token to go on with
   */
  mask(logits: Float32Array): void {
    const allowed = this.trie.allowedIn(this.automaton, this.state);
    const stops = this.state.accepting
      ? this.stopTokenIds.map((token): [number, number] => [token, logits[token]!])
      : [];
    let left = stops.length;
    for (let token = 0; token < logits.length; token++) {
      if (((allowed[token >> 5] ?? 0) >>> (token & 31)) & 1) left++;
      else logits[token] = -Infinity;
    }
    for (const [token, logit] of stops) logits[token] = logit;
    if (left === 0) {
      throw new GenerationError(
        "ConstraintDeadEnd",
        "The vocabulary has no token that could continue the JSON.",
      );
    }
  }

  /** Follows a token that `mask` left. */
  accept(token: number): void {
    if (this.stopTokenIds.includes(token) && this.state.accepting) return;
    for (const byte of this.trie.bytesOf(token) ?? []) {
      const next = this.automaton.step(this.state, byte);
      if (next === null) {
        throw new GenerationError(
          "InvalidOption",
          `Token ${token} is not one that the constraint allows here.`,
          { token },
        );
      }
      this.state = next;
    }
  }

  /** A copy that goes its own way from here. */
  fork(): JsonConstraint {
    return new JsonConstraint(this.trie, this.stopTokenIds, this.automaton, this.state);
  }
}
