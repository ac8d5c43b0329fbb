import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopMatcher } from "./stop-matcher";

/** Text up to the first stop string, fed in the given pieces. */
function run(
  pieces: readonly string[],
  stops: readonly string[],
): { text: string; found: boolean } {
  const matcher = new StopMatcher(stops);
  let text = "";
  for (const piece of pieces) {
    const step = matcher.push(piece);
    text += step.text;
    if (step.found) return { text, found: true };
  }
  return { text: text + matcher.flush(), found: false };
}

describe("StopMatcher", () => {
  it("finds a stop string across pieces and drops what follows", () => {
    expect(run(["one st", "o", "p two"], ["stop"])).toEqual({ text: "one ", found: true });
    expect(run(["stop"], ["stop"])).toEqual({ text: "", found: true });
    expect(run(["no end"], ["stop"])).toEqual({ text: "no end", found: false });
    expect(run(["any"], [])).toEqual({ text: "any", found: false });
  });

  it("holds back only what may be the beginning of one", () => {
    const matcher = new StopMatcher(["\n\n", "END"]);
    expect(matcher.push("a\n")).toEqual({ text: "a", found: false });
    expect(matcher.push("b E")).toEqual({ text: "\nb ", found: false });
    expect(matcher.push("N")).toEqual({ text: "", found: false });
    expect(matcher.push("E")).toEqual({ text: "EN", found: false });
    expect(matcher.flush()).toBe("E");
    expect(matcher.flush()).toBe("");
  });

  it("recovers from a beginning that repeats", () => {
    expect(run([..."aaab"], ["aab"])).toEqual({ text: "a", found: true });
  });

  it("takes the one that is complete first, and of those that end together the longest", () => {
    expect(run(["xabcx"], ["abc", "b"])).toEqual({ text: "xa", found: true });
    expect(run(["xabcx"], ["c", "abc"])).toEqual({ text: "x", found: true });
  });

  it("does not depend on where the pieces end", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 12 });
    const stops = fc.array(
      fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 }),
      {
        maxLength: 3,
      },
    );
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 5 }), stops, (pieces, list) => {
        expect(run(pieces, list)).toEqual(run([...pieces.join("")], list));
        const { text, found } = run(pieces, list);
        expect(list.some((stop) => text.includes(stop))).toBe(false);
        expect(found).toBe(list.some((stop) => pieces.join("").includes(stop)));
        expect(pieces.join("").startsWith(text)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
