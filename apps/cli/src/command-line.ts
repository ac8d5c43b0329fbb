import { createRequire } from "node:module";
import { deviceKit, type CacheStorage } from "@transmla/kernels";
import type { WeightPrecision } from "@transmla/models";
import { Command as Parser, CommanderError, Option } from "commander";
import type { Command, Flag, ModelStorage } from "./command";
import { deviceNames, type DeviceName, type DeviceOptions } from "./devices";
import { usage } from "./errors";
import { choice, filled, integer, optional, toggle, word } from "./flags";
import type { Io } from "./io";

/** Read where it stands, not built in: a release sets it after the build. */
const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

const { cacheStorages } = deviceKit;

/** Flags that every command has. */
const globalFlags = {
  device: choice("--device <name>", "what computes", deviceNames, "cpu"),
  threads: optional("--threads <n>", "threads of the CPU device (default: all)", integer(1, 64)),
  wideVectors: toggle(
    "--wide-vectors",
    "CPU device: 256-bit vectors, experimental in V8: faster, same results (Node 24 or later on x64)",
  ),
  weights: choice(
    "--weights <type>",
    "weights as stored, or rounded to bytes",
    ["stored", "i8"],
    "stored",
  ),
  cache: optional(
    "--cache <type>",
    `numbers in the cache: ${cacheStorages.join(", ")} (default: f32, in plan bf16)`,
    word(cacheStorages),
  ),
  quiet: toggle("--quiet", "no progress and no remarks"),
  json: toggle("--json", "print one JSON object instead of text"),
};

interface GlobalValues {
  readonly device: DeviceName;
  readonly threads?: number;
  readonly wideVectors?: boolean;
  readonly weights: WeightPrecision;
  readonly cache?: CacheStorage;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** A command line that is understood. */
export interface Invocation {
  readonly command: Command;
  readonly args: readonly string[];
  /** A value for every flag of the command. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly device: DeviceName;
  readonly compute: DeviceOptions;
  readonly storage: ModelStorage;
  readonly quiet: boolean;
  readonly json: boolean;
}

/** Reads the command line. Undefined when it asked for help or the version, which are then printed. */
export function parse(
  argv: readonly string[],
  io: Io,
  table: readonly Command[],
): Invocation | undefined {
  let invocation: Invocation | undefined;
  const parser = makeParser(io, table, (found) => (invocation = found));
  try {
    parser.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    if (error.code !== "commander.help") throw usage(usageMessage(error.message));
    throw usage(
      `give one of the commands: ${table.map(({ name }) => name).join(", ")}. See --help.`,
    );
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
    .helpOption("-h, --help", "explain a command, with examples")
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
tokenizer.json), a .gguf file, a hub id such as org/name or org/name@revision
(downloaded once into the hub's cache), or the word sample: the small model
that comes with this program.`;

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
    const { device, threads, wideVectors, weights, cache, quiet, json } =
      parser.opts<GlobalValues>();
    const mode = { quiet: quiet === true, json: json === true };
    const storage = { weights, cacheStorage: cache };
    const compute = { threads, wideVectors };
    found({ command, args: sub.args, values, device, compute, storage, ...mode });
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
    else if (parseText && fallback !== undefined && !flag.repeatable) {
      option.default(fallback, String(fallback));
    }
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
