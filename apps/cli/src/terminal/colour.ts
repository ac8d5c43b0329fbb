import type { Io, Output } from "../io";

/** Wraps text in the escape sequences of a terminal, or leaves it as it is. */
export interface Colour {
  bold(text: string): string;
  dim(text: string): string;
  green(text: string): string;
  red(text: string): string;
  cyan(text: string): string;
}

/** Colour for terminals that understand it, unless NO_COLOR (https://no-color.org) is set. */
export function colourFor(output: Output, env: Io["env"]): Colour {
  const noColour = env["NO_COLOR"] !== undefined && env["NO_COLOR"] !== "";
  const on = output.isTTY === true && !noColour && env["TERM"] !== "dumb";
  const style = (begin: number, end: number) => (text: string) =>
    on && text !== "" ? `\u001B[${begin}m${text}\u001B[${end}m` : text;
  return {
    bold: style(1, 22),
    dim: style(2, 22),
    green: style(32, 39),
    red: style(31, 39),
    cyan: style(36, 39),
  };
}

// oxlint-disable-next-line no-control-regex
const escapes = /\u001B\[[0-9;]*m/g;

/** Columns that text takes on a terminal, without its escape sequences. */
export function visibleWidth(text: string): number {
  return [...text.replace(escapes, "")].length;
}
