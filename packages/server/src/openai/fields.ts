import { ServerError } from "../errors";

export type JsonObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * The fields of a request body, read one by one: what is read is checked, and what nobody reads is refused by name in `end`.
 * Every method throws ServerError `InvalidRequest` naming the field. A field that is null counts as left out, as with OpenAI.
 */
export class Fields {
  private readonly unread: Set<string>;

  constructor(
    private readonly body: JsonObject,
    private readonly path = "",
  ) {
    this.unread = new Set(Object.keys(body));
  }

  /** Any value. */
  value(name: string): unknown {
    this.unread.delete(name);
    return Object.hasOwn(this.body, name) ? (this.body[name] ?? undefined) : undefined;
  }

  integer(name: string, least: number, most: number): number | undefined {
    return this.checked(
      name,
      (value): value is number => Number.isSafeInteger(value) && between(value, least, most),
      `must be a whole number from ${least} to ${most}`,
    );
  }

  number(name: string, least: number, most: number): number | undefined {
    return this.checked(
      name,
      (value): value is number => typeof value === "number" && between(value, least, most),
      `must be a number from ${least} to ${most}`,
    );
  }

  boolean(name: string): boolean | undefined {
    return this.checked(name, (value) => typeof value === "boolean", "must be true or false");
  }

  text(name: string): string | undefined {
    return this.checked(name, (value) => typeof value === "string", "must be a string");
  }

  word<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    return this.checked(
      name,
      (value): value is Word => (words as readonly unknown[]).includes(value),
      `must be one of ${words.join(", ")}`,
    );
  }

  list(name: string, most: number): readonly unknown[] | undefined {
    return this.checked(
      name,
      (value): value is readonly unknown[] => Array.isArray(value) && value.length <= most,
      `must be a list of at most ${most}`,
    );
  }

  object(name: string): JsonObject | undefined {
    return this.checked(name, isObject, "must be an object");
  }

  /** An object whose fields are read in the same way. */
  fields(name: string): Fields | undefined {
    const object = this.object(name);
    return object && new Fields(object, `${this.path}${name}.`);
  }

  /** Reads fields that say nothing about the answer: names of users, wishes about storage. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.unread.delete(name);
  }

  /** Refuses what has not been read: a field that is not understood might change what is meant. */
  end(): void {
    const [name] = this.unread;
    if (name !== undefined) throw this.invalid(name, "is not supported here");
  }

  invalid(name: string, problem: string): ServerError {
    const field = `${this.path}${name}`;
    return new ServerError("InvalidRequest", `${field} ${problem}.`, { field });
  }

  private checked<Value>(
    name: string,
    accepts: (value: unknown) => value is Value,
    problem: string,
  ): Value | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (accepts(value)) return value;
    throw this.invalid(name, problem);
  }
}

function between(value: unknown, least: number, most: number): boolean {
  return Number(value) >= least && Number(value) <= most;
}
