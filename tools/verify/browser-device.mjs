// Runs the CPU device in headless Chromium, in a worker of an isolated page (two threads) and of a plain one (one thread, with a
// reason), and compares a product and both attentions with the reference device: node tools/verify/browser-device.mjs
// Needs `npm run build`, the peers of bench/ (for playwright-core) and Chromium (TRANSMLA_BENCH_CHROMIUM, or /usr/bin/chromium).
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { basename } from "node:path";

const require = createRequire(new URL("../../bench/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const library = new URL("../../packages/kernels/dist/", import.meta.url);

/** The worker in which the device lives, as an app would write it. */
const worker = `
import { cpuDevice, referenceDevice } from "/kernels/index.js";
const numbers = (count, seed) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed + 0.7 * i * i));
async function results(device) {
  const x = device.tensor(numbers(150 * 96, 1), [150, 96]);
  const weight = device.weight([200, 96], "f32");
  device.writeRows(weight, 0, new Uint8Array(numbers(200 * 96, 2).buffer));
  const pool = (width, seed) => {
    const made = device.pagePool({ pages: 3, pageTokens: 64, width });
    device.writePages(made, device.tensor(numbers(150 * width, seed), [150, width]), Int32Array.from({ length: 150 }, (_, i) => i));
    return made;
  };
  const sequences = [{ queryStart: 0, queryCount: 1, length: 150, pages: Int32Array.of(0, 1, 2) }];
  const query = (width, seed) => device.tensor(numbers(width, seed), [1, width]);
  const tensors = [
    device.linear(x, weight),
    device.groupedAttention({ query: query(64, 3), keys: pool(32, 4), values: pool(32, 5), heads: 4, kvHeads: 2, scale: 0.25, sequences }),
    device.latentAttention({ queryNope: query(128, 6), queryRope: query(32, 7), latents: pool(32, 8), ropeKeys: pool(8, 9), heads: 4, scale: 0.15, sequences }),
  ];
  return Promise.all(tensors.map((tensor) => device.read(tensor)));
}
const device = await cpuDevice({ threads: 2 });
const [actual, expected] = [await results(device), await results(referenceDevice())];
const errors = actual.map((values, i) => {
  const scale = Math.max(...expected[i].map(Math.abs));
  return Math.max(...values.map((value, j) => Math.abs(value - expected[i][j]))) / scale;
});
const { threads, threadsReason, simd } = device;
device.destroy();
postMessage({ threads, threadsReason, simd, errors });
`;

const page = `<!doctype html><title>device</title><script type="module">
  const worker = new Worker("/worker.js", { type: "module" });
  worker.onmessage = ({ data }) => (window.result = data);
  worker.onerror = ({ message }) => (window.result = { failed: message });
</script>`;

async function serve(isolated) {
  const server = createServer(async ({ url }, response) => {
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    if (url === "/") return response.setHeader("Content-Type", "text/html").end(page);
    response.setHeader("Content-Type", "text/javascript");
    if (url === "/worker.js") return response.end(worker);
    const content = await readFile(new URL(basename(url), library)).catch(() => undefined);
    return content ? response.end(content) : response.writeHead(404).end();
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

const executablePath = process.env["TRANSMLA_BENCH_CHROMIUM"] ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
let failed = false;
try {
  for (const isolated of [true, false]) {
    const server = await serve(isolated);
    const tab = await browser.newPage();
    await tab.goto(`http://127.0.0.1:${server.address().port}/`);
    await tab.waitForFunction(() => window.result, undefined, { timeout: 60_000 });
    const result = await tab.evaluate(() => window.result);
    console.log(isolated ? "isolated page:" : "plain page:", JSON.stringify(result));
    failed ||= !(
      result.errors?.every((error) => error < 1e-5) && result.threads === (isolated ? 2 : 1)
    );
    failed ||= isolated === (result.threadsReason !== undefined);
    await tab.close();
    server.close();
  }
} finally {
  await browser.close();
}
process.exitCode = failed ? 1 : 0;
