/**
 * Checks the built site: every code block of a page is a file of `docs/examples` that the tests run, every such file is shown
 * somewhere, and the search finds what readers will look for. Dead links fail the build itself.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import MiniSearch from "minisearch";
import { at } from "./pages.mjs";

/** Languages of code that readers run; diagrams, output and fragments of formats may stand in a page. */
const runnable = /^(?:js|mjs|ts|mts|javascript|typescript|sh|bash|shell|zsh|console)\b/;
/** Pages that are made of something with tests of its own: READMEs and doc comments. */
const made = /^(?:api|packages|reference|examples|node_modules|\.vitepress)\//;
const searches = {
  kvLoraRank: /^\/(?:idea|runtime|api|formats)\//,
  InvalidOffset: /^\/reference\/errors/,
  loadTokenizer: /^\//,
  vLLM: /^\//,
};

const docs = at("docs");
const pages = readdirSync(docs, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".md") && !made.test(path))
  .map((path) => ({ path, text: readFileSync(join(docs, path), "utf8") }));

const failures = [
  ...fencedBlocks(),
  ...unshownFiles(),
  ...longRuntime(),
  ...(await unfoundWords()),
];
for (const failure of failures) console.error(failure);
console.log(
  failures.length === 0 ? `${pages.length} pages checked` : `${failures.length} failures`,
);
process.exitCode = failures.length === 0 ? 0 : 1;

function fencedBlocks() {
  return pages.flatMap(({ path, text }) =>
    Array.from(text.matchAll(/^\s*(?:```|~~~)([a-z]+)/gm))
      .filter(([, language]) => runnable.test(language))
      .map(([, language]) => `${path}: a ${language} block is no file of docs/examples`),
  );
}

/** What a page shows is what readers try: a file that no page shows is forgotten, one that only prepares needs no page. */
function unshownFiles() {
  const shown = pages.map(({ text }) => text).join("\n");
  return readdirSync(join(docs, "examples"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(docs, join(entry.parentPath, entry.name)))
    .filter((path) => !shown.includes(path))
    .map((path) => `${path} is shown by no page`);
}

/** The docs say of the chat runtime that it has fewer than 150 lines. */
function longRuntime() {
  const lines = readFileSync(join(docs, "examples/runtime/chat.mjs"), "utf8").trimEnd().split("\n");
  return lines.length < 150 ? [] : [`chat.mjs has ${lines.length} lines`];
}

/** Asks the built index as the page's search box does. */
async function unfoundWords() {
  const chunks = join(docs, ".vitepress/dist/assets/chunks");
  const file = readdirSync(chunks).find((name) => name.startsWith("@localSearchIndexroot"));
  if (!file) return ["the build has no search index"];
  const { default: json } = await import(pathToFileURL(join(chunks, file)));
  const index = MiniSearch.loadJSON(json, {
    fields: ["title", "titles", "text"],
    storeFields: ["title", "titles"],
    searchOptions: { fuzzy: 0.2, prefix: true, boost: { title: 4, text: 2, titles: 1 } },
  });
  return Object.entries(searches).flatMap(([word, page]) => {
    const found = index.search(word);
    if (found.some(({ id }) => page.test(id))) {
      console.log(`search: ${word} is found ${found.length} times, first in ${found[0].id}`);
      return [];
    }
    return [`search: ${word} is not found in a page like ${page}`];
  });
}
