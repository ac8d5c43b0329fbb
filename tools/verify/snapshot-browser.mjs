// A conversation that moves between Node and Chromium: the sample model's cache is saved in Node, kept in a page's IndexedDB,
// continued and saved there, and continued in Node again. Texts must be those of an uninterrupted conversation, and only new
// tokens may be computed: node tools/verify/snapshot-browser.mjs
// Needs `npm run build`, the peers of bench/ (for playwright-core) and Chromium (TRANSMLA_BENCH_CHROMIUM, or /usr/bin/chromium).
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, normalize } from "node:path";
import { cpuDevice } from "../../packages/kernels/dist/index.js";
import { Engine } from "../../packages/generation/dist/index.js";
import { loadModel, openModel } from "../../packages/models/dist/index.js";
import { folder } from "../../packages/tensor-io/dist/index.js";

const root = new URL("../../", import.meta.url);
const { chromium } = createRequire(new URL("bench/package.json", root))("playwright-core");
const modelFolder = "packages/sample-model/model/";
const turns = [
  [10, 20, 30, 40, 50, 60, 70],
  [80, 90, 100],
  [110, 120],
];
const MAX_TOKENS = 20;

/** Continues a conversation: its tokens so far, and how many of the prompt were computed. Runs on both sides. */
async function continued(engine, history, added, maxTokens) {
  const promptTokens = Int32Array.of(...history, ...added);
  const run = engine.submit({ promptTokens, maxTokens, stopTokenIds: [] });
  const tokens = [...promptTokens];
  for await (const { token } of run) tokens.push(token);
  return { tokens, computed: promptTokens.length - run.summaries[0].cachedTokens };
}

const script = `
import { cpuDevice } from "@transmla/kernels";
import { Engine } from "@transmla/generation";
import { loadModel, openModel } from "@transmla/models";
import { memoryFolder } from "@transmla/tensor-io";
${continued.toString()}
const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
async function main() {
  const files = new Map();
  for (const name of ["config.json", "model.safetensors"]) {
    files.set(name, new Uint8Array(await (await fetch("/${modelFolder}" + name)).arrayBuffer()));
  }
  const model = await loadModel(await openModel(memoryFolder(files)), await cpuDevice());
  const engine = new Engine(model, { cache: { capacity: 1024, pageTokens: 8 } });
  const opening = indexedDB.open("snapshots", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("snapshots");
  const database = await done(opening);
  const store = () => database.transaction("snapshots", "readwrite").objectStore("snapshots");
  const { history, added, maxTokens } = await (await fetch("/conversation")).json();
  const saved = await (await fetch("/snapshot")).blob();
  await done(store().put(saved, "chat"));
  const blob = await done(store().get("chat"));
  await engine.restore(new Uint8Array(await blob.arrayBuffer()));
  const result = await continued(engine, history, added, maxTokens);
  const snapshot = await engine.save(Int32Array.from(result.tokens));
  return { ...result, snapshot: Array.from(snapshot) };
}
main().then((result) => (window.result = result), (error) => (window.result = { failed: String(error.stack) }));
`;

const imports = Object.fromEntries([
  ["@huggingface/tokenizers", "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs"],
  ["@huggingface/jinja", "/node_modules/@huggingface/jinja/dist/index.js"],
  ...["kernels", "tensor-io", "latent-cache", "models", "generation"].map((name) => [
    `@transmla/${name}`,
    `/packages/${name}/dist/index.js`,
  ]),
]);
const page = `<!doctype html><title>snapshot</title>
<script type="importmap">${JSON.stringify({ imports })}</script><script type="module" src="/main.js"></script>`;

/** Serves the page, the built packages, the model and what `answers` holds. */
async function serve(answers) {
  const types = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
  };
  const server = createServer(async ({ url }, response) => {
    if (url === "/") return response.setHeader("Content-Type", "text/html").end(page);
    if (url === "/main.js") {
      return response.setHeader("Content-Type", "text/javascript").end(script);
    }
    if (answers[url]) return response.end(answers[url]);
    const file = normalize(url).replace(/^\/+/, "");
    if (!/^(packages|node_modules)\//.test(file)) return response.writeHead(404).end();
    const content = await readFile(new URL(file, root)).catch(() => undefined);
    if (!content) return response.writeHead(404).end();
    response.setHeader("Content-Type", types[extname(file)] ?? "application/octet-stream");
    return response.end(content);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return server;
}

async function inChromium(snapshot, history) {
  const conversation = JSON.stringify({ history, added: turns[1], maxTokens: MAX_TOKENS });
  const server = await serve({ "/snapshot": snapshot, "/conversation": conversation });
  const executablePath = process.env["TRANSMLA_BENCH_CHROMIUM"] ?? "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const tab = await browser.newPage();
    await tab.goto(`http://127.0.0.1:${server.address().port}/`);
    await tab.waitForFunction(() => window.result, undefined, { timeout: 60_000 });
    const result = await tab.evaluate(() => window.result);
    if (result.failed) throw new Error(`in Chromium: ${result.failed}`);
    return { ...result, snapshot: Uint8Array.from(result.snapshot) };
  } finally {
    await browser.close();
    server.close();
  }
}

async function withEngine(body) {
  const device = await cpuDevice();
  const files = await openModel(folder(new URL(modelFolder, root).pathname));
  const engine = new Engine(await loadModel(files, device), { cache: { capacity: 1024 } });
  try {
    return await body(engine);
  } finally {
    await engine.close();
    await files.close();
    device.destroy();
  }
}

const whole = await withEngine(async (engine) => {
  const all = [];
  for (const added of turns) {
    all.push(await continued(engine, all.at(-1)?.tokens ?? [], added, MAX_TOKENS));
  }
  return all;
});
const first = await withEngine(async (engine) => {
  const { tokens } = await continued(engine, [], turns[0], MAX_TOKENS);
  return { tokens, snapshot: await engine.save(Int32Array.from(tokens)) };
});
const second = await inChromium(first.snapshot, first.tokens);
const third = await withEngine(async (engine) => {
  await engine.restore(second.snapshot);
  return continued(engine, second.tokens, turns[2], MAX_TOKENS);
});

const same = [first, second, third].map(
  ({ tokens }, i) => tokens.join() === whole[i].tokens.join(),
);
// New tokens, and the last one of the answer before, which nothing had followed.
const onlyNew = [second, third].map(({ computed }, i) => computed === turns[i + 1].length + 1);
console.log("same text in Node, Chromium, Node:", same.join(", "));
console.log("only new tokens computed in Chromium, Node:", onlyNew.join(", "));
console.log(`snapshot: ${second.snapshot.length} bytes for ${second.tokens.length - 1} tokens`);
process.exitCode = [...same, ...onlyNew].every(Boolean) ? 0 : 1;
