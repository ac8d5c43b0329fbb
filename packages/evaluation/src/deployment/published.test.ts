import { readFile, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { publishedRatios, relativeError, TOLERANCE, type PublishedRatio } from "./published";
import { deviceSheets } from "./targets";

const page = new URL("../../../../docs/plan.md", import.meta.url);

const number = (value: number) => value.toPrecision(3);
const signed = (error: number) => `${error >= 0 ? "+" : "−"}${Math.abs(100 * error).toFixed(1)} %`;

function ratioRow(ratio: PublishedRatio): string {
  const { what, kind, source, published, note } = ratio;
  const planned = ratio.planned();
  const error = relativeError(ratio);
  const value = typeof planned === "number" ? number(planned) : planned.map(number).join(" to ");
  const verdict = error === undefined ? "not compared" : signed(error);
  return `| ${what} | ${kind} | ${number(published)} | ${value} | ${verdict} | ${source} | ${note} |`;
}

const amount = (value: number, size: number) => String(Number((value / size).toPrecision(4)));

const tables: Readonly<Record<string, () => string>> = {
  ratios: () =>
    [
      "| what | kind | published | planned | error | source | conditions |",
      "|---|---|---|---|---|---|---|",
      ...publishedRatios.map(ratioRow),
    ].join("\n"),
  devices: () =>
    [
      "| `--target` | device | GB/s | TFLOP/s | GiB | source |",
      "|---|---|---|---|---|---|",
      ...Object.entries(deviceSheets).map(([name, sheet]) => {
        const { title, bandwidth, flops, memory, source } = sheet;
        const note = "note" in sheet ? `. ${sheet.note}` : "";
        return `| \`${name}\` | ${title} | ${amount(bandwidth, 1e9)} | ${amount(flops, 1e12)} | ${amount(memory, 2 ** 30)} | ${source}${note} |`;
      }),
    ].join("\n"),
};

describe("published ratios", () => {
  it.each(publishedRatios)("$what: $published", (ratio) => {
    const error = relativeError(ratio);
    const agrees = error !== undefined && Math.abs(error) <= TOLERANCE;
    expect(agrees).toBe(ratio.reproduced);
  });

  it("at least four measurements are reproduced, of memory and of speed", () => {
    const kinds = publishedRatios.filter(({ reproduced }) => reproduced).map(({ kind }) => kind);
    const measured = kinds.filter((kind) => kind !== "counted");
    expect(measured.length).toBeGreaterThanOrEqual(4);
    expect(new Set(measured)).toEqual(new Set(["measured memory", "measured speed"]));
  });

  it("what is missed has a reason", () => {
    const missed = publishedRatios.filter(({ reproduced }) => !reproduced);
    expect(missed.every(({ note }) => note.length > 50)).toBe(true);
  });
});

/** `UPDATE_DOCS=1` writes the tables instead. */
it.each(Object.keys(tables))("the table of %s in docs/plan.md is this one", async (name) => {
  const text = await readFile(page, "utf8");
  const block = new RegExp(`(<!-- ${name} -->\n)([^]*?)(\n<!-- end -->)`);
  const table = tables[name]!();
  if (process.env["UPDATE_DOCS"] === "1") {
    await writeFile(
      page,
      text.replace(block, (_, begin, __, end) => `${begin}${table}${end}`),
    );
  } else {
    expect(block.exec(text)?.[2]).toBe(table);
  }
});
