import { expect, it } from "vitest";
import { colourFor } from "./colour";
import { properties, table } from "./table";

const columns = [
  { heading: "name", align: "left" },
  { heading: "n", align: "right" },
] as const;

it("aligns columns and leaves no spaces at the end", () => {
  const rows = [
    ["a", "1,536"],
    ["longer", "7"],
  ];
  expect(table(columns, rows)).toEqual(["name        n", "a       1,536", "longer      7"]);
  expect(table([columns[1], columns[0]], [["1", "a"]])).toEqual(["n  name", "1  a"]);
});

it("can be printed row by row", () => {
  const fixed = [{ ...columns[0], width: 6 }, columns[1]];
  expect(table(fixed, [])).toEqual(["name    n"]);
  expect(table(fixed, [["a", "1"]]).slice(1)).toEqual(["a       1"]);
});

it("does not count colours", () => {
  const { bold } = colourFor({ write: () => true, isTTY: true }, {});
  const [, coloured, plain] = table(columns, [
    [bold("ab"), "1"],
    ["abcd", "2"],
  ]);
  expect(coloured).toBe(`${bold("ab")}    1`);
  expect(plain).toBe("abcd  2");
});

it("writes properties with their values in one column", () => {
  expect(
    properties([
      ["family", "llama"],
      ["layers", "6"],
      ["", "more"],
    ]),
  ).toEqual(["family  llama", "layers  6", "        more"]);
});
