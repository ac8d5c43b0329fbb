import { describe, expect, it } from "vitest";
import { Automaton } from "./automaton";
import { choice, literal, maybe, repeat, sequence, type GrammarPart } from "./grammar";

/** Whether the grammar lets a text through, and whether it could have gone on. */
function read(grammar: GrammarPart, text: string): "no" | "beginning" | "whole" | "final" {
  const automaton = new Automaton(grammar);
  let state = automaton.start;
  for (const byte of new TextEncoder().encode(text)) {
    const next = automaton.step(state, byte);
    if (next === null) return "no";
    state = next;
  }
  if (state.final) return "final";
  return state.accepting ? "whole" : "beginning";
}

const a = literal("a");
const b = literal("b");

describe("Automaton", () => {
  it("reads sequences and choices, all of them at once", () => {
    const grammar = choice(literal("ab"), literal("ac"), sequence(a, maybe(b), b));
    expect(["", "a", "ab", "abb", "ac", "b", "aba"].map((text) => read(grammar, text))).toEqual([
      "beginning",
      "beginning",
      "whole",
      "final",
      "final",
      "no",
      "no",
    ]);
  });

  it("counts repetitions", () => {
    const grammar = sequence(repeat(a, 2, 3), b);
    expect(["ab", "aab", "aaab", "aaaab"].map((text) => read(grammar, text))).toEqual([
      "no",
      "final",
      "final",
      "no",
    ]);
    expect(read(repeat(a), "a".repeat(1000))).toBe("whole");
    expect(read(repeat(sequence()), "")).toBe("final");
  });

  it("nests without end", () => {
    const nest: GrammarPart = {
      kind: "reference",
      resolve: () => sequence(literal("("), maybe(nest), literal(")")),
    };
    expect(read(nest, "(".repeat(50) + ")".repeat(50))).toBe("final");
    expect(read(nest, "(".repeat(50) + ")".repeat(49))).toBe("beginning");
    expect(read(nest, "()(")).toBe("no");
  });

  it("comes back to the same state where a text may go round", () => {
    const automaton = new Automaton(sequence(literal("["), repeat(a), literal("]")));
    const inside = automaton.step(automaton.start, "[".charCodeAt(0))!;
    const after = automaton.step(inside, "a".charCodeAt(0))!;
    expect(after).toBe(automaton.step(after, "a".charCodeAt(0)));
    const two = new Automaton(sequence(choice(literal("xa"), literal("ya")), b));
    const [viaX, viaY] = ["xa", "ya"].map((text) =>
      [...text].reduce((state, c) => two.step(state, c.charCodeAt(0))!, two.start),
    );
    expect(viaX).toBe(viaY);
  });

  it("bounds what an ambiguous grammar costs, and then only forbids more", () => {
    // Every bracket doubles the number of readings.
    const tree: GrammarPart = {
      kind: "reference",
      resolve: () =>
        choice(
          sequence(literal("["), repeat(tree, 0, 2), literal("]")),
          sequence(literal("["), repeat(tree, 0, 3), literal("]")),
          a,
        ),
    };
    const automaton = new Automaton(tree);
    let state = automaton.start;
    const before = process.cpuUsage();
    for (let depth = 0; depth < 60; depth++) state = automaton.step(state, "[".charCodeAt(0))!;
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(5000);
    expect(state).not.toBeNull();
    expect(read(tree, "[[aa]a[a]]")).toBe("final");
    expect(read(tree, "[aaaa]")).toBe("no");
  });

  it("forgets states when there are many and goes on rightly", () => {
    const counted = sequence(repeat(a, 0, 9000), b);
    const automaton = new Automaton(counted);
    let state = automaton.start;
    for (let count = 0; count < 9000; count++) state = automaton.step(state, "a".charCodeAt(0))!;
    expect(automaton.step(state, "a".charCodeAt(0))).toBeNull();
    expect(automaton.step(state, "b".charCodeAt(0))).toMatchObject({ final: true });
  });
});
