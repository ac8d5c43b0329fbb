import { existsSync } from "node:fs";
import { build } from "esbuild";
import { at, table } from "./pages.mjs";

/** Every code of every package, from its `src/errors.ts`: the one place where they are defined. */
export async function errorCatalogue(packages) {
  const parts = [
    "Everything thrown on purpose has a stable `code`, a message that names the file, tensor and numbers, and a `context` of the same for programs. The classes recognise their errors across the ESM and CommonJS builds: `TensorIoError.isInstance(error)`. An abort throws the signal's own reason. The command line prints the code with `--json`.",
  ];
  for (const { folder, name } of packages) {
    const file = at(`${folder}/src/errors.ts`);
    if (!existsSync(file)) continue;
    const { codes, className } = await readErrors(file);
    parts.push(
      `## ${name}`,
      `\`${className}\``,
      table(
        ["code", "meaning"],
        Object.entries(codes).map(([code, meaning]) => [`\`${code}\``, meaningOf(meaning)]),
      ),
    );
  }
  return parts.join("\n\n");
}

/** The server's codes come with the status of their answer. */
function meaningOf(meaning) {
  if (typeof meaning === "string") return meaning;
  const [status, , text] = meaning;
  return `${text} (${status})`;
}

async function readErrors(file) {
  const { outputFiles } = await build({
    entryPoints: [file],
    bundle: true,
    packages: "external",
    format: "esm",
    write: false,
  });
  const code = Buffer.from(outputFiles[0].contents).toString("base64");
  const module = await import(`data:text/javascript;base64,${code}`);
  const find = (wanted, what) => {
    const found = Object.entries(module).find(([name, value]) => wanted(name, value));
    if (!found) throw new Error(`${file} exports no ${what}`);
    return found;
  };
  const [, codes] = find(
    (name, value) => name.endsWith("Errors") && typeof value === "object",
    "table of codes",
  );
  const [className] = find(
    (name, value) => name.endsWith("Error") && "isInstance" in value,
    "class",
  );
  return { codes, className };
}
