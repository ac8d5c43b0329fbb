import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { methods, planConversion, type FormatName, type MethodName } from "@transmla/conversion";
import {
  families,
  openModel,
  planGgufExport,
  planSafetensorsExport,
  type ModelFiles,
} from "@transmla/models";
import { folder } from "@transmla/tensor-io";
import { architectures } from "../packages/models/src/gguf/architectures";

const goldenModels = fileURLToPath(new URL("../packages/models/golden", import.meta.url));

/** Somewhere a model may go: what is said of it in the table, and the plan that accepts or refuses. */
interface Target {
  readonly column: string;
  /** In place of "yes". */
  readonly name?: string;
  readonly plan: (files: ModelFiles) => unknown;
}

const conversion = (format: FormatName, method: MethodName): Target => ({
  column: `\`convert --format ${format}\``,
  name: method,
  plan: (files) => {
    const sizes = method === "exact" ? {} : { kvLoraRank: 12, ropeDim: 4 };
    return planConversion(files, { method, format, ...sizes });
  },
});

const targets: readonly Target[] = [
  ...(Object.keys(methods) as MethodName[]).map((method) => conversion("native", method)),
  // The exact method is refused for every family; docs/formats/deepseek.md says why.
  conversion("deepseek", "transmla"),
  conversion("deepseek", "output-aware"),
  conversion("deepseek-bias-free", "transmla"),
  conversion("deepseek-bias-free", "output-aware"),
  { column: "`export` to GGUF", plan: planGgufExport },
  { column: "`export` to safetensors", plan: planSafetensorsExport },
];

const columns = [...new Set(targets.map(({ column }) => column))];

/** What the targets say of the golden models of one family. */
interface Verdict {
  readonly target: Target;
  readonly accepted: number;
  /** Reasons of those that were refused. */
  readonly refusals: readonly string[];
}

/** docs/families.md: the table of families, and what becomes of the golden models of each when they are planned for every target. */
export async function familiesDocument(): Promise<string> {
  const opened = await Promise.all(
    readdirSync(goldenModels, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => openModel(folder(`${goldenModels}/${name}`))),
  );
  const rows: string[] = [];
  const reasons: string[] = [];
  for (const [family, { about }] of Object.entries(families)) {
    const models = opened.filter(({ config }) => config.family === family);
    if (models.length === 0) throw new Error(`No golden model is of the family ${family}.`);
    const verdicts = targets.map((target) => judged(target, models));
    const cells = columns.map((column) =>
      cell(verdicts.filter(({ target }) => target.column === column)),
    );
    rows.push(`| ${[`\`${family}\``, about, ggufNames(family), ...cells].join(" | ")} |`);
    reasons.push(...refusalsOf(family, verdicts));
  }
  await Promise.all(opened.map((files) => files.close()));
  return document(rows, reasons);
}

function judged(target: Target, models: readonly ModelFiles[]): Verdict {
  const refusals = new Set<string>();
  let accepted = 0;
  for (const files of models) {
    try {
      target.plan(files);
      accepted++;
    } catch (error) {
      const { context, message } = error as { context?: { part?: string }; message: string };
      refusals.add(context?.part ?? message);
    }
  }
  return { target, accepted, refusals: [...refusals] };
}

function cell(verdicts: readonly Verdict[]): string {
  const possible = verdicts.filter(({ accepted }) => accepted > 0);
  if (possible.length === 0) return "no";
  return possible
    .map(({ target, refusals }) => `${target.name ?? "yes"}${refusals.length > 0 ? " *" : ""}`)
    .join(", ");
}

function refusalsOf(family: string, verdicts: readonly Verdict[]): string[] {
  return columns.flatMap((column) => {
    const own = verdicts.filter(({ target }) => target.column === column);
    const refusals = [...new Set(own.flatMap((verdict) => verdict.refusals))];
    return refusals.map((reason) => `| \`${family}\` | ${column} | ${reason} |`);
  });
}

function ggufNames(family: string): string {
  const names = Object.entries(architectures)
    .filter(([, { modelType }]) => modelType === family)
    .map(([name]) => `\`${name}\``);
  return names.length > 0 ? names.join(", ") : "no";
}

const document = (rows: readonly string[], reasons: readonly string[]) => `# Families

Made from the table of families (\`packages/models/src/config/families.ts\`) and from what the planners say of the golden models, by
\`npx vitest run tools/families.test.ts --update\`; a test fails while this page is not what they say.

Every family is read from a Hugging Face folder and runs. A star marks what some models of the family are refused.

| \`model_type\` | what sets it apart | read from GGUF as | ${columns.join(" | ")} |
|${"---|".repeat(3 + columns.length)}
${rows.join("\n")}

## What is refused, before any weight is read

| | | |
|---|---|---|
${reasons.join("\n")}
`;
