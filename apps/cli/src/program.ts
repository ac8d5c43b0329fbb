import type { Device } from "@transmla/kernels";
import type { Command, CommandContext, Result } from "./command";
import { parse, type Invocation } from "./command-line";
import { commands } from "./commands";
import { openDevice } from "./devices";
import { describeFailure, exitCodes } from "./errors";
import type { Io } from "./io";
import { Terminal } from "./terminal/terminal";

/**
 * Runs one command line.
 *
 * @param argv Arguments after the program's name.
 * @param table The commands there are.
 * @returns The exit code: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.
 */
export async function run(
  argv: readonly string[],
  io: Io,
  table: readonly Command[] = commands,
): Promise<number> {
  // Errors of the command line itself are told in the form that was asked for, too.
  let terminal = new Terminal(io, { json: argv.includes("--json"), quiet: false });
  try {
    const invocation = parse(argv, io, table);
    if (!invocation) return exitCodes.done;
    terminal = new Terminal(io, invocation);
    const result = await execute(invocation, terminal, io);
    terminal.clearProgress();
    if (terminal.mode.json) writeJson(io, result);
    return exitCodes.done;
  } catch (error) {
    return reportFailure(error, terminal, io);
  }
}

async function execute(
  { command, args, values, device: name, compute, storage }: Invocation,
  terminal: Terminal,
  io: Io,
): Promise<Result> {
  let device: Promise<Device> | undefined;
  const context: CommandContext = {
    terminal,
    io,
    signal: io.signal,
    storage,
    compute,
    deviceName: name,
    env: io.env,
    device: () => (device ??= openDevice(name, compute)),
  };
  try {
    return await command.run(context, args, values);
  } finally {
    const opened = await device?.catch(() => undefined);
    opened?.destroy();
  }
}

function reportFailure(error: unknown, terminal: Terminal, io: Io): number {
  const { code, message, context, exitCode } = describeFailure(error, io.signal);
  terminal.error(message, code);
  if (io.env["TRANSMLA_DEBUG"] === "1") {
    io.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  } else if (code === "Unexpected") {
    io.stderr.write("Set TRANSMLA_DEBUG=1 to see where it happened.\n");
  }
  if (terminal.mode.json) writeJson(io, { error: { code, message, context } });
  return exitCode;
}

function writeJson(io: Io, result: Result): void {
  const text = JSON.stringify(result, (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
  io.stdout.write(`${text}\n`);
}
