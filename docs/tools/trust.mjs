import { existsSync, readFileSync } from "node:fs";
import { at, table } from "./pages.mjs";

const figures = at("docs/trust.json");

/** What each figure of a promise counts, in few words. */
const units = {
  files: "files",
  mutations: "changed bytes",
  kills: "kills",
  faults: "faults",
  numbers: "results",
  requests: "requests",
};

const limits = [
  [
    "Header of a safetensors file",
    "packages/tensor-io/src/safetensors/header.ts",
    "maxHeaderBytes",
    "bytes",
  ],
  ["Name of a tensor", "packages/tensor-io/src/safetensors/header.ts", "maxNameBytes", "bytes"],
  ["Dimensions of a tensor", "packages/tensor-io/src/safetensors/header.ts", "maxRank", ""],
  ["JSON text", "packages/tensor-io/src/json/strict-json.ts", "defaultMaxLength", "characters"],
  ["JSON nesting", "packages/tensor-io/src/json/strict-json.ts", "defaultMaxDepth", "levels"],
  ["JSON values", "packages/tensor-io/src/json/strict-json.ts", "defaultMaxValues", ""],
  ["config.json", "packages/models/src/open-model.ts", "MAX_CONFIG_BYTES", "bytes"],
  ["Text file read by the command line", "apps/cli/src/text.ts", "MAX_TEXT_BYTES", "bytes"],
  ["Chat template, steps", "packages/generation/src/template/budget.ts", "{ steps", ""],
  [
    "Chat template, output",
    "packages/generation/src/template/budget.ts",
    "characters",
    "characters",
  ],
  ["Chat template, time", "packages/generation/src/template/budget.ts", "milliseconds", "ms"],
  ["JSON schema, states", "packages/generation/src/structured/automaton.ts", "maxStates", ""],
  ["Request body", "packages/server/src/limits.ts", "bodyBytes", "bytes"],
  ["Choices of a request", "packages/server/src/limits.ts", "choices", ""],
  ["Prompts of a request", "packages/server/src/limits.ts", "prompts", ""],
  ["Stop strings of a request", "packages/server/src/limits.ts", "stops", ""],
  ["Characters of a stop string", "packages/server/src/limits.ts", "stopCharacters", ""],
  ["Alternatives per token", "packages/server/src/limits.ts", "alternatives", ""],
  ["Requests at once", "packages/server/src/limits.ts", "requests", ""],
  ["Tokens of an answer that says nothing", "packages/server/src/limits.ts", "defaultTokens", ""],
  ["Bytes that wait for a slow reader", "packages/server/src/limits.ts", "unreadBytes", "bytes"],
  ["Time a reader may take nothing", "packages/server/src/limits.ts", "stalledMilliseconds", "ms"],
];

/** What is promised with the figures of the last whole run of `npm run test:trust`, and every limit with its number. */
export function trust() {
  return [
    "What is promised to people who open files of strangers, convert for hours and serve on a network; the figures are those of the last whole `npm run test:trust`. [Security](https://github.com/transmla/transmla/blob/main/SECURITY.md) says what is not promised.",
    ...promises(),
    "## Limits",
    "Read from the code that keeps them. Those of the server can be changed (`openaiHandler`, `limits`).",
    table(
      ["what", "at most"],
      limits.map(([what, file, name, unit]) => [what, `${valueOf(file, name)} ${unit}`]),
    ),
  ].join("\n\n");
}

function promises() {
  if (!existsSync(figures)) return ["The suite has not been run here."];
  const { seconds, total, promises: all } = JSON.parse(readFileSync(figures, "utf8"));
  const of = (counts) =>
    Object.entries(units)
      .filter(([kind]) => counts[kind])
      .map(([kind, unit]) => `${counts[kind].toLocaleString("en")} ${unit}`)
      .join(", ");
  return [
    `In ${Math.round(seconds / 60)} minutes on two cores: ${of(total)}; ${total.losses} losses.`,
    table(
      ["promise", "kept", "tried"],
      all.map(({ promise, kept, skipped, counts }) => [
        promise,
        skipped ? "not tried here" : kept ? "yes" : "no",
        of(counts),
      ]),
    ),
  ];
}

/** The number behind `name = …` or `name: …` of a source; whoever moves it is told. */
function valueOf(file, name) {
  const source = readFileSync(at(file), "utf8");
  const found = new RegExp(`(?<![A-Za-z])${name}(?: =|:) ([0-9_]+(?: << [0-9]+)?)\\b`).exec(source);
  if (!found) throw new Error(`docs/tools/trust.mjs: ${file} has no number ${name}`);
  const [base, shift, exponent] = found[1].replaceAll("_", "").split(" ");
  const value = shift ? Number(base) * 2 ** Number(exponent) : Number(base);
  return value.toLocaleString("en");
}
