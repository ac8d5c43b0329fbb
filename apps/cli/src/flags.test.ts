import { InvalidArgumentError } from "commander";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byteCount, decimal, integer, part, wordOr, words } from "./flags";

describe("integer", () => {
  it("reads every whole number of its range and nothing else", () => {
    const read = integer(-5, 1000);
    fc.assert(fc.property(fc.integer({ min: -5, max: 1000 }), (n) => read(String(n)) === n));
    for (const text of ["-6", "1001", "1.0", "1e2", "0x10", "", " 1", "1 ", "ten", "∞"]) {
      expect(() => read(text), text).toThrow(InvalidArgumentError);
    }
  });

  it("refuses numbers that a double cannot tell from their neighbours", () => {
    expect(integer(0)("9007199254740991")).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => integer(0)("9007199254740992")).toThrow(InvalidArgumentError);
  });
});

describe("decimal", () => {
  it("reads decimal numbers and exponents", () => {
    const cases = { "0": 0, "0.8": 0.8, ".5": 0.5, "1.": 1, "1e-3": 0.001, "2E+1": 20 };
    for (const [text, value] of Object.entries(cases)) expect(decimal(0)(text)).toBe(value);
  });

  it("refuses everything else", () => {
    for (const text of ["", ".", "-0.1", "1,5", "NaN", "Infinity", "1e999", "0x1", "1 2"]) {
      expect(() => decimal(0)(text), text).toThrow(InvalidArgumentError);
    }
    expect(() => decimal(0, 1)("1.01")).toThrow("from 0 to 1");
  });
});

describe("part", () => {
  it("reads percentages and fractions", () => {
    const cases = { "25%": 0.25, "12.5%": 0.125, "25 %": 0.25, "0.25": 0.25, "1%": 0.01 };
    for (const [text, value] of Object.entries(cases)) expect(part(text)).toBe(value);
  });

  it("refuses the ends, what lies beyond, and a number without its sign", () => {
    for (const text of ["0", "1", "0%", "100%", "101%", "-5%", "25", "%", "x%", ""]) {
      expect(() => part(text), text).toThrow(InvalidArgumentError);
    }
  });
});

it("wordOr knows its word and leaves the rest to the other", () => {
  const read = wordOr("auto", integer(1));
  expect(read("auto")).toBe("auto");
  expect(read("4")).toBe(4);
  expect(() => read("automatic")).toThrow(InvalidArgumentError);
});

it("byteCount reads units and refuses bare numbers", () => {
  const sizes = { "500MB": 5e8, "5 GB": 5e9, "1.5kB": 1500, "7B": 7, "2gb": 2e9 };
  for (const [text, bytes] of Object.entries(sizes)) expect(byteCount(text)).toBe(bytes);
  for (const text of ["", "5", "GB", "-1MB", "0MB", "5 MiB", "1e3MB"]) {
    expect(() => byteCount(text), text).toThrow(InvalidArgumentError);
  }
});

it("words takes any of its list and nothing else", () => {
  const read = words(["complex", "centring"]);
  expect(read("centring, complex")).toEqual(["centring", "complex"]);
  for (const text of ["", "complex,", "centering"]) {
    expect(() => read(text), text).toThrow(InvalidArgumentError);
  }
});
