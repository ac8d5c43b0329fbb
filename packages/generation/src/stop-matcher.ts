import { GenerationError } from "./errors";

/** Throws GenerationError `InvalidOption` for an empty stop string. */
export function checkStops(stops: readonly string[]): readonly string[] {
  if (stops.every((stop) => typeof stop === "string" && stop !== "")) return stops;
  throw new GenerationError("InvalidOption", "stop must be a list of strings that are not empty.", {
    option: "stop",
  });
}

/**
 * Finds the first of several stop strings in text that arrives in pieces. Text that may be the beginning of one is held
 * back. Which one is first does not depend on where the pieces end: the one that is complete first, and of those that end
 * together the longest.
 */
export class StopMatcher {
  private held = "";

  /** `stops` as `checkStops` accepts them. */
  constructor(private readonly stops: readonly string[]) {}

  /** Text that is certain not to belong to a stop string, and whether one has been found; it and what follows are dropped. */
  push(piece: string): { readonly text: string; readonly found: boolean } {
    const text = this.held + piece;
    const match = this.firstMatch(text);
    if (match !== undefined) {
      this.held = "";
      return { text: text.slice(0, match.start), found: true };
    }
    const certain = text.length - this.beginningAtEnd(text);
    this.held = text.slice(certain);
    return { text: text.slice(0, certain), found: false };
  }

  /** What is still held back when the text ends. */
  flush(): string {
    const { held } = this;
    this.held = "";
    return held;
  }

  private firstMatch(text: string): { readonly start: number } | undefined {
    return this.stops
      .map((stop) => ({ start: text.indexOf(stop), end: text.indexOf(stop) + stop.length }))
      .filter(({ start }) => start >= 0)
      .toSorted((a, b) => a.end - b.end || a.start - b.start)[0];
  }

  /** Length of the longest end of the text that is the beginning of a stop string. */
  private beginningAtEnd(text: string): number {
    const lengths = this.stops.map((stop) => {
      let length = Math.min(stop.length - 1, text.length);
      while (!text.endsWith(stop.slice(0, length))) length--;
      return length;
    });
    return Math.max(0, ...lengths);
  }
}
