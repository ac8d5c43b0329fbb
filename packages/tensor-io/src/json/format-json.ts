import { JsonNumber, type JsonValue } from "./strict-json";

/**
 * The text of a parsed value: numbers as they were written, keys in their order.
 * @param indent spaces per level; 0 gives one line
 */
export function formatJson(value: JsonValue, indent = 2): string {
  return format(value, indent, "\n");
}

function format(value: JsonValue, indent: number, newline: string): string {
  if (value instanceof JsonNumber) return value.text;
  if (value instanceof Map) {
    const colon = indent > 0 ? ": " : ":";
    const entries = Array.from(
      value,
      ([key, item]) =>
        JSON.stringify(key) + colon + format(item, indent, newline + " ".repeat(indent)),
    );
    return enclose("{", entries, "}", indent, newline);
  }
  if (Array.isArray(value)) {
    const items = value.map((item) => format(item, indent, newline + " ".repeat(indent)));
    return enclose("[", items, "]", indent, newline);
  }
  return JSON.stringify(value);
}

function enclose(
  open: string,
  items: readonly string[],
  close: string,
  indent: number,
  newline: string,
): string {
  if (items.length === 0) return open + close;
  if (indent === 0) return open + items.join(",") + close;
  const inner = newline + " ".repeat(indent);
  return open + inner + items.join("," + inner) + newline + close;
}
