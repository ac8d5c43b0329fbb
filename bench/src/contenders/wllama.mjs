import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { uniform } from "../random.mjs";

/** The folder of wllama, which the page loads as it is. */
const library = fileURLToPath(new URL("../../node_modules/@wllama/wllama/esm/", import.meta.url));
const mimeTypes = { ".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };

/** The digit 5 in the made-up vocabulary. Always choosing it keeps random weights from ending the text or breaking its UTF-8. */
const FIVE = 1 + 53;

const page = `<!doctype html><script type="module">
  import { Wllama } from "/library/index.js";
  window.load = async (options) => {
    const wllama = new Wllama({ default: "/library/wasm/wllama.wasm" }, { suppressNativeLog: true });
    const model = await (await fetch("/model.gguf")).blob();
    await wllama.loadModel([model], options);
    window.complete = async (request) => (await wllama.createCompletion(request)).timings;
    return wllama.isMultithread();
  };
  window.ready = true;
</script>`;

/** wllama in headless Chromium (`TRANSMLA_BENCH_CHROMIUM`, or /usr/bin/chromium), on an isolated page, so that it has threads. */
export async function start({ path, threads }) {
  const server = createServer((request, response) => answer(request, response, path));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const executablePath = process.env["TRANSMLA_BENCH_CHROMIUM"] ?? "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${server.address().port}/`);
  await tab.waitForFunction(() => window.ready);
  const multithread = await tab.evaluate((options) => window.load(options), {
    n_ctx: 512,
    n_threads: threads,
    n_gpu_layers: 0,
  });
  let seed = 0;
  return {
    facts: { multithread },
    /** Runs a prompt of `prompt` tokens and decodes `tokens`; `seconds` is the time of one decoded token, by its own clock. */
    run: async ({ prompt, tokens }) => {
      const timings = await tab.evaluate((request) => window.complete(request), {
        prompt: digits(prompt, ++seed),
        max_tokens: tokens,
        temperature: 0,
        logit_bias: { [FIVE]: 1000 },
      });
      return {
        seconds: 1 / timings.predicted_per_second,
        prefillSeconds: 1 / timings.prompt_per_second,
      };
    },
    close: () => browser.close(),
  };
}

/** Every digit is a token of the made-up vocabulary; a new text each time, so that nothing is reused. */
function digits(count, seed) {
  const next = uniform(seed);
  return Array.from({ length: count }, () => Math.floor(10 * next())).join("");
}

async function answer({ url }, response, model) {
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  if (url === "/") return response.setHeader("Content-Type", "text/html").end(page);
  const file =
    url === "/model.gguf" ? model : join(library, normalize(url.replace("/library", "")));
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) return response.writeHead(404).end();
  response.setHeader("Content-Type", mimeTypes[extname(file)] ?? "application/octet-stream");
  response.setHeader("Content-Length", found.size);
  return createReadStream(file).pipe(response);
}
