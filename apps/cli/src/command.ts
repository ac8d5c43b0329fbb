import type { Device } from "@transmla/kernels";
import type { LoadOptions } from "@transmla/models";
import type { DeviceName, DeviceOptions } from "./devices";
import type { Io } from "./io";
import type { Terminal } from "./terminal/terminal";

/** A flag of a command: how it is written, and how its text becomes a value. */
export interface Flag<Value> {
  /** As in the help: `--keep <part>`; without a value name it is a switch. */
  readonly flags: string;
  readonly description: string;
  /** Absent for switches. Throws commander's `InvalidArgumentError`. */
  readonly parse?: (text: string) => unknown;
  /** The value when the flag is not given. */
  readonly fallback: Value;
  readonly choices?: readonly string[];
  readonly mandatory?: boolean;
  /** May be given several times; the value is the list. */
  readonly repeatable?: boolean;
}

type Flags = Readonly<Record<string, Flag<unknown>>>;

/** The values of a command's flags, under the names of its table. */
export type FlagValues<Table extends Flags> = {
  readonly [Name in keyof Table]: Table[Name] extends Flag<infer Value> ? Value : never;
};

export interface Argument {
  readonly name: string;
  readonly description: string;
}

/** How a model is kept on the device. */
export type ModelStorage = Pick<LoadOptions, "weights" | "cacheStorage">;

/** What a command works with. */
export interface CommandContext {
  readonly terminal: Terminal;
  /** For what a terminal has no words for: the input, and raw output. */
  readonly io: Io;
  readonly signal: AbortSignal;
  readonly storage: ModelStorage;
  /** What the user said about how the device computes. */
  readonly compute: DeviceOptions;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly deviceName: DeviceName;
  /** The device that the user chose; made once and destroyed when the command ends. */
  device(): Promise<Device>;
}

/** The object that `--json` prints. */
export type Result = Readonly<Record<string, unknown>>;

interface Specification<Table extends Flags> {
  readonly name: string;
  readonly summary: string;
  readonly arguments: readonly Argument[];
  readonly flags: Table;
  /** Whole command lines with what they do. */
  readonly examples: readonly (readonly [command: string, effect: string])[];
  action(
    context: CommandContext,
    args: readonly string[],
    flags: FlagValues<Table>,
  ): Promise<Result>;
}

/** A command as the program sees it. */
export interface Command extends Omit<Specification<Flags>, "action"> {
  /** `values` has a value for every name in `flags`. */
  run(
    context: CommandContext,
    args: readonly string[],
    values: Readonly<Record<string, unknown>>,
  ): Promise<Result>;
}

/** Keeps the types of a command's flags between their table and its action. */
export function defineCommand<Table extends Flags>(specification: Specification<Table>): Command {
  const { action, ...rest } = specification;
  return {
    ...rest,
    run: (context, args, values) => action(context, args, values as FlagValues<Table>),
  };
}
