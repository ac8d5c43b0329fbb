import { visibleWidth } from "./colour";

/** A column: its heading and the side on which its cells align. */
export interface Column {
  readonly heading: string;
  readonly align: "left" | "right";
  /** At least so wide: for tables that are printed row by row. */
  readonly width?: number;
}

/** Lines of a plain table: headings, then rows, two spaces between columns. `style` is applied to the headings. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: (text: string) => string = (text) => text,
): string[] {
  const widths = columns.map(({ heading, width = 0 }, index) =>
    Math.max(width, visibleWidth(heading), ...rows.map((row) => visibleWidth(row[index] ?? ""))),
  );
  const line = (cells: readonly string[]) =>
    columns
      .map(({ align }, index) => pad(cells[index] ?? "", widths[index] ?? 0, align))
      .join("  ")
      .trimEnd();
  return [style(line(columns.map(({ heading }) => heading))), ...rows.map(line)];
}

/** Lines of names and values, the values in one column. */
export function properties(
  entries: readonly (readonly [name: string, value: string])[],
  style: (text: string) => string = (text) => text,
): string[] {
  const width = Math.max(0, ...entries.map(([name]) => visibleWidth(name)));
  return entries.map(([name, value]) => `${style(pad(name, width, "left"))}  ${value}`);
}

function pad(text: string, width: number, align: "left" | "right"): string {
  const space = " ".repeat(Math.max(0, width - visibleWidth(text)));
  return align === "left" ? text + space : space + text;
}
