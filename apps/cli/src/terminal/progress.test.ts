import { describe, expect, it } from "vitest";
import { colourFor } from "./colour";
import { Progress } from "./progress";

function progressAt(options: { isTTY: boolean; columns?: number }) {
  const written: string[] = [];
  const output = { write: (text: string) => written.push(text), ...options };
  let now = 0;
  const progress = new Progress(output, colourFor(output, { NO_COLOR: "1" }), () => now);
  return {
    written,
    progress,
    at(seconds: number, done: number, label = "working") {
      now = seconds * 1000;
      progress.report({ label, done, total: 10, unit: "layers" });
    },
  };
}

describe("on a terminal", () => {
  it("draws one line over and over, with part, rate and remaining time", () => {
    const { written, progress, at } = progressAt({ isTTY: true, columns: 60 });
    progress.start("working");
    at(2, 1);
    at(4, 2);
    expect(written[0]).toBe("\rworking\u001B[K");
    expect(written[2]).toBe("\rworking  ━━━━──────────────  20 %  0.5 layers/s, 16 s left\u001B[K");
    progress.clear();
    expect(written.at(-1)).toBe("\r\u001B[K");
  });

  it.each([20, 30, 40, 60, 80, 200])("never fills a line of %i columns", (columns) => {
    const { written, progress, at } = progressAt({ isTTY: true, columns });
    progress.start("a label that is longer than some terminals are wide");
    at(1, 5, "a label that is longer than some terminals are wide");
    at(2, 10, "short");
    for (const text of written) {
      const visible = text.replace("\r", "").replace("\u001B[K", "");
      expect(visible.length).toBeLessThan(columns);
    }
  });

  it("draws at most every 80 ms", () => {
    const { written, at } = progressAt({ isTTY: true });
    for (let step = 0; step < 10; step++) at(step / 100, step);
    expect(written).toHaveLength(2);
  });

  it("counts the time of a phase from the end of the one before", () => {
    const { written, at } = progressAt({ isTTY: true });
    at(10, 10, "first");
    at(12, 1, "second");
    expect(written.at(-1)).toContain("0.5 layers/s, 18 s left");
  });
});

describe("in a log", () => {
  it("writes a line every five seconds", () => {
    const { written, progress, at } = progressAt({ isTTY: false });
    progress.start("working");
    for (let second = 1; second <= 10; second++) at(second, second);
    expect(written).toEqual(["working: 50 %, 1.0 layers/s, 5 s left\n"]);
    progress.clear();
    expect(written).toHaveLength(1);
  });
});
