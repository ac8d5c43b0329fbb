import fc from "fast-check";
import { expect, it } from "vitest";
import {
  bytes,
  count,
  duration,
  parameters,
  percent,
  printable,
  rate,
  wholeSeconds,
  wrap,
} from "./format";

it("writes numbers with separators and percentages", () => {
  expect(count(1536)).toBe("1,536");
  expect(count(0)).toBe("0");
  expect(percent(0.25)).toBe("25.0 %");
  expect(percent(1, 0)).toBe("100 %");
});

it("writes bytes and parameters in powers of 1000", () => {
  expect([0, 999, 1000, 5_712_648, 999_960, 250e9].map(bytes)).toEqual([
    "0 B",
    "999 B",
    "1.0 kB",
    "5.7 MB",
    "1.0 MB",
    "250 GB",
  ]);
  expect([512, 2_853_312, 135e6, 7.2e9].map(parameters)).toEqual([
    "512",
    "2.9 M",
    "135 M",
    "7.2 B",
  ]);
});

it("writes times", () => {
  expect([0.0123, 0.9999, 3.44, 42.3, 59.6, 187, 7500].map(duration)).toEqual([
    "12 ms",
    "1.0 s",
    "3.4 s",
    "42 s",
    "1 min 00 s",
    "3 min 07 s",
    "2 h 05 min",
  ]);
  expect([0, 0.2, 41.1, 186.5].map(wholeSeconds)).toEqual(["1 s", "1 s", "42 s", "3 min 07 s"]);
});

it("writes rates", () => {
  expect(rate(0.42, "layers")).toBe("0.4 layers/s");
  expect(rate(159.4, "tokens")).toBe("159 tokens/s");
  expect(rate(2849, "tokens")).toBe("2,849 tokens/s");
  expect(rate(3.1e8, "bytes")).toBe("310 MB/s");
});

it("wraps at spaces, cuts what has none, and keeps line breaks", () => {
  expect(wrap("one two three", 7)).toEqual(["one two", "three"]);
  expect(wrap("abcdefgh", 3)).toEqual(["abc", "def", "gh"]);
  expect(wrap("a\n\nb", 10)).toEqual(["a", "", "b"]);
  fc.assert(
    fc.property(fc.lorem({ maxCount: 20 }), fc.integer({ min: 15, max: 60 }), (text, width) => {
      const lines = wrap(text, width);
      return lines.every((line) => line.length <= width) && lines.join(" ") === text;
    }),
  );
});

it("leaves a terminal no commands in a text", () => {
  expect(printable("a\u001B[2Jb\u0007\n\tc")).toBe("a\uFFFD[2Jb\uFFFD\n\tc");
});
