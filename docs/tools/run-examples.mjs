/**
 * Runs the examples of the docs as a reader would: in a folder whose node_modules has the packages, with `transmla` on the path.
 *
 *     node docs/tools/run-examples.mjs [--in FOLDER | --workspace] [TOPIC…]
 *
 * Every folder of `docs/examples` is a topic and runs in an empty folder of its own: its numbered shell files in order, the other
 * files are what they use. `install*.sh` is what the reader types before; it is not run, but must name every package that the topic
 * imports, and all of them must be there. A file whose first line is `# needs: COMMAND` is skipped where COMMAND fails.
 * FOLDER is where the packages are installed; without it they are packed and installed in a temporary folder, as from npm. With
 * `--workspace` those of this repository are used, which is quicker.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { installPacked } from "../../tools/packed/install.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const examples = join(root, "docs/examples");
/** Long enough for every example on a busy machine; an endless one is a failure. */
const patience = 15 * 60_000;

const { values, positionals } = parseArgs({
  options: { in: { type: "string" }, workspace: { type: "boolean", default: false } },
  allowPositionals: true,
});
const installed = values.workspace
  ? root
  : resolve(values.in ?? join(tmpdir(), "transmla-examples"));
if (!values.workspace && values.in === undefined) await installPacked(installed);
const topics = positionals.length > 0 ? positionals : readdirSync(examples);
const failures = topics.flatMap((topic) => [...missingPackages(topic), ...run(topic)]);
for (const failure of failures) console.error(`FAILED ${failure}`);
console.log(failures.length === 0 ? "every example passes" : `${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;

/** Runs the numbered files of a topic; stops at the first failure, because later files build on earlier ones. */
function run(topic) {
  const cache = join(installed, "node_modules/.cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, `example-${topic}-`));
  cpSync(join(examples, topic), folder, { recursive: true });
  const PATH = [join(installed, "node_modules/.bin"), process.env.PATH].join(delimiter);
  const options = { cwd: folder, encoding: "utf8", timeout: patience };
  try {
    for (const file of readdirSync(folder)
      .filter((name) => /^\d+-.*\.sh$/.test(name))
      .toSorted()) {
      const start = performance.now();
      const label = `${topic}/${file}`;
      const [, needs] = /^# needs: (.*)/.exec(readFileSync(join(folder, file), "utf8")) ?? [];
      const env = { ...process.env, PATH, NO_COLOR: "1" };
      if (needs && spawnSync("bash", ["-c", needs], { ...options, env }).status !== 0) {
        console.log(`skipped ${label}: no ${needs}`);
        continue;
      }
      const result = spawnSync("bash", ["-euo", "pipefail", file], { ...options, env });
      if (result.status !== 0) return [`${label}\n${result.stdout}${result.stderr}`];
      console.log(`ok ${label} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
    }
    return [];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the install lines of a topic forget, or name although it is not there. */
function missingPackages(topic) {
  const folder = join(examples, topic);
  const names = readdirSync(folder);
  const text = (wanted) =>
    names
      .filter((name) => wanted.test(name))
      .map((name) => readFileSync(join(folder, name), "utf8"));
  const named =
    text(/^install.*\.sh$/)
      .join("\n")
      .match(/@transmla\/[a-z-]+/g) ?? [];
  const imported =
    text(/\.mjs$/)
      .join("\n")
      .match(/(?<=["'])@transmla\/[a-z-]+/g) ?? [];
  const forgotten = imported.filter((name) => !named.includes(name));
  const present = readdirSync(join(installed, "node_modules/@transmla"));
  const absent = named.filter((name) => !present.includes(name.slice("@transmla/".length)));
  return [
    ...new Set(forgotten.map((name) => `${topic}: install.sh does not name ${name}`)),
    ...new Set(absent.map((name) => `${topic}: ${name} is not installed`)),
  ];
}
