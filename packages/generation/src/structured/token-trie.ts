import type { Automaton, AutomatonState } from "./automaton";

/**
 * The bytes of a vocabulary as a tree in the order of a walk, so that all tokens that a grammar allows are found together: where a
 * byte is not allowed, everything below it is skipped.
 */
export class TokenTrie {
  /** By node, in depth-first order: its byte, its depth (from 0), the node after everything below it, one of its tokens or -1. */
  private readonly bytes: Uint8Array;
  private readonly depths: Uint16Array;
  private readonly ends: Int32Array;
  private readonly tokens: Int32Array;
  /** Another token of the same bytes, or -1. */
  private readonly sameBytes: Int32Array;

  /** `tokenBytes[id]` undefined: a token that stands for no text. */
  constructor(private readonly tokenBytes: readonly (Uint8Array | undefined)[]) {
    const ids = tokenBytes
      .flatMap((bytes, id) => (bytes !== undefined && bytes.length > 0 ? [id] : []))
      .toSorted((a, b) => compare(tokenBytes[a]!, tokenBytes[b]!));
    const bytes: number[] = [];
    const depths: number[] = [];
    const tokens: number[] = [];
    this.sameBytes = new Int32Array(tokenBytes.length).fill(-1);
    let before: Uint8Array = new Uint8Array();
    for (const id of ids) {
      const own = tokenBytes[id]!;
      const shared = sharedLength(before, own);
      for (let depth = shared; depth < own.length; depth++) {
        bytes.push(own[depth]!);
        depths.push(depth);
        tokens.push(-1);
      }
      this.sameBytes[id] = tokens.at(-1)!;
      tokens[tokens.length - 1] = id;
      before = own;
    }
    this.bytes = Uint8Array.from(bytes);
    this.depths = Uint16Array.from(depths);
    this.tokens = Int32Array.from(tokens);
    this.ends = endsOf(this.depths);
  }

  /** Number of token ids, special ones included. */
  get size(): number {
    return this.tokenBytes.length;
  }

  bytesOf(token: number): Uint8Array | undefined {
    return this.tokenBytes[token];
  }

  /** One bit for every token that may come next, kept with the state. */
  allowedIn(automaton: Automaton, state: AutomatonState): Uint32Array {
    state.allowed ??= this.walk(automaton, state);
    return state.allowed;
  }

  private walk(automaton: Automaton, state: AutomatonState): Uint32Array {
    const { bytes, depths, ends, tokens, sameBytes } = this;
    const allowed = new Uint32Array(Math.ceil(this.size / 32));
    const path: AutomatonState[] = [state];
    for (let node = 0; node < bytes.length;) {
      const depth = depths[node]!;
      const next = automaton.step(path[depth]!, bytes[node]!);
      if (next === null) {
        node = ends[node]!;
        continue;
      }
      path[depth + 1] = next;
      for (let token = tokens[node]!; token >= 0; token = sameBytes[token]!) {
        allowed[token >> 5]! |= 1 << (token & 31);
      }
      node++;
    }
    return allowed;
  }
}

/** For every node the next one that is not below it. */
function endsOf(depths: Uint16Array): Int32Array {
  const ends = new Int32Array(depths.length);
  const open: number[] = [];
  for (let node = 0; node <= depths.length; node++) {
    const depth = node < depths.length ? depths[node]! : 0;
    while (open.length > depth) ends[open.pop()!] = node;
    open.push(node);
  }
  return ends;
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const shared = sharedLength(a, b);
  return shared < a.length && shared < b.length ? a[shared]! - b[shared]! : a.length - b.length;
}

function sharedLength(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a[length] === b[length]) length++;
  return length;
}
