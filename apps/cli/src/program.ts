import { Command as Parser, CommanderError, Option } from "commander";
import type { Device } from "@transmla/kernels";
import { version } from "../package.json";
import type { Command, CommandContext, Flag } from "./command";
import { commands } from "./commands";
import { deviceNames, openDevice, type DeviceName } from "./devices";
import { describeFailure, exitCodes, usage } from "./errors";
import { choice, filled, toggle } from "./flags";
import type { Io } from "./io";
import { Terminal } from "./terminal/terminal";

/** Flags of every command. */
const globalFlags = {
  device: choice("--device <name>", "what computes", deviceNames, "cpu"),
  quiet: toggle("--quiet", "no progress and no remarks"),
  json: toggle("--json", "print one JSON object instead of text"),
};

interface Invocation {
  readonly command: Command;
  readonly args: readonly string[];
  readonly values: Readonly<Record<string, unknown>>;
  readonly globals: Readonly<Record<string, unknown>>;
}

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
    const { json, quiet } = invocation.globals;
    terminal = new Terminal(io, { json: json === true, quiet: quiet === true });
    const result = await execute(invocation, terminal, io);
    terminal.clearProgress();
    if (terminal.mode.json) writeJson(io, result);
    return exitCodes.done;
  } catch (error) {
    return reportFailure(error, terminal, io);
  }
}

async function execute(invocation: Invocation, terminal: Terminal, io: Io) {
  const { command, args, values, globals } = invocation;
  let device: Promise<Device> | undefined;
  const context: CommandContext = {
    terminal,
    signal: io.signal,
    device: () => (device ??= openDevice(globals["device"] as DeviceName)),
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

function writeJson(io: Io, result: Readonly<Record<string, unknown>>): void {
  const text = JSON.stringify(result, (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
  io.stdout.write(`${text}\n`);
}

/** Reads the command line. Undefined when it asked for help or the version, which are then printed. */
function parse(argv: readonly string[], io: Io, table: readonly Command[]): Invocation | undefined {
  let invocation: Invocation | undefined;
  const parser = makeParser(io, table, (found) => (invocation = found));
  try {
    parser.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    if (error.code !== "commander.help") throw usage(usageMessage(error.message));
    io.stderr.write(`${parser.helpInformation()}\n`);
    throw usage("a command is missing.");
  }
  return invocation;
}

/** Commander's message as the end of one line: without its own prefix and line breaks. */
function usageMessage(message: string): string {
  const text = message.replace(/^error: /, "").replace(/\s*\n\s*/g, " ");
  return text.includes("Did you mean") ? text : `${text.replace(/[.]$/, "")}. See --help.`;
}

function makeParser(
  io: Io,
  table: readonly Command[],
  found: (invocation: Invocation) => void,
): Parser {
  const parser = new Parser("transmla")
    .description(
      "Turn grouped-query language models into multi-head latent attention models, measure and run them.",
    )
    .version(version, "--version", "print the version")
    .helpOption("--help", "explain a command, with examples")
    .helpCommand("help [command]", "explain a command, with examples")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: () => {},
      getOutHelpWidth: () => io.stdout.columns ?? 80,
      getOutHasColors: () => false,
    })
    .exitOverride();
  addFlags(parser, globalFlags);
  parser.addHelpText("after", `\n${MODEL_HELP}\n\nExamples:\n${exampleLines(START)}`);
  for (const command of table) addCommand(parser, command, found);
  return parser;
}

const MODEL_HELP = `<model> is a folder in the Hugging Face layout (config.json, *.safetensors,
tokenizer.json), a .gguf file, or the word sample: the small model that comes
with this program.`;

/** Where to begin. */
const START: Command["examples"] = [
  ["transmla demo", "see everything work, offline"],
  ["transmla convert sample ./sample-mla", "convert a model"],
  ["transmla help convert", "all about one command"],
];

function exampleLines(examples: Command["examples"]): string {
  return examples.map(([line, effect]) => `  # ${effect}\n  $ ${line}\n`).join("");
}

function addCommand(parser: Parser, command: Command, found: (invocation: Invocation) => void) {
  const sub = parser.command(command.name).description(command.summary);
  for (const { name, description } of command.arguments)
    sub.argument(`<${name}>`, description, filled);
  const attributes = addFlags(sub, command.flags);
  sub.addHelpText("after", `\nExamples:\n${exampleLines(command.examples)}`);
  sub.action(() => {
    const given = sub.opts();
    const values = Object.fromEntries(
      Array.from(attributes, ([name, attribute]) => [
        name,
        given[attribute] ?? command.flags[name]?.fallback,
      ]),
    );
    found({ command, args: sub.args, values, globals: parser.opts() });
  });
}

/** Adds flags to a parser and returns where it keeps the value of each. */
function addFlags(
  parser: Parser,
  flags: Readonly<Record<string, Flag<unknown>>>,
): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const [name, flag] of Object.entries(flags)) {
    const option = new Option(flag.flags, describe(flag));
    const { parse: parseText, fallback } = flag;
    if (flag.mandatory) option.makeOptionMandatory();
    else if (parseText && !flag.repeatable) option.default(fallback);
    if (parseText) {
      option.argParser((text: string, previous: unknown) =>
        flag.repeatable ? [...((previous ?? []) as unknown[]), parseText(text)] : parseText(text),
      );
    }
    parser.addOption(option);
    if (!flag.repeatable) refuseRepetition(parser, option);
    attributes.set(name, option.attributeName());
  }
  return attributes;
}

function describe({ description, choices }: Flag<unknown>): string {
  return choices ? `${description}: ${choices.join(", ")}` : description;
}

/** Commander silently takes the last of several values. */
function refuseRepetition(parser: Parser, option: Option): void {
  let seen = false;
  parser.on(`option:${option.name()}`, () => {
    if (seen) throw usage(`${option.long} is given more than once.`, { flag: option.long });
    seen = true;
  });
}
