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

/** Columns that text takes on a terminal, without its escape sequences. */
export function visibleWidth(text: string): number {
  const [first = "", ...styled] = text.split("\u001B");
  const plain = styled.map((part) => part.slice(part.indexOf("m") + 1));
  return [...first, ...plain.join("")].length;
}
