/**
 * Drives the built site in Chromium: figures compute what they claim, the search box finds, nothing is logged as an error, no page is wider
 * than its window.
 *
 *     node docs/tools/browse.mjs [FOLDER]
 *
 * With a folder it leaves pictures of the main pages there, on a desktop and a phone, light and dark. Needs `npm run docs:build` and Chromium
 * (TRANSMLA_CHROMIUM, or /usr/bin/chromium).
 */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { chromium } from "playwright";
import { at } from "./pages.mjs";

const dist = at("docs/.vitepress/dist");
const types = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};
const pictured = [
  "/",
  "/start",
  "/idea/",
  "/idea/exact",
  "/idea/rotation",
  "/idea/decoding",
  "/guide/size",
  "/guide/judge",
  "/api/low-rank",
  "/reference/errors",
  "/reference/benchmarks",
  "/packages/conversion",
  "/formats/native",
  "/runtime/chat",
];
const [folder] = process.argv.slice(2);

const server = await serve();
const origin = `http://127.0.0.1:${server.address().port}`;
const executablePath = process.env["TRANSMLA_CHROMIUM"] ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  await checkFigures();
  await checkSearch();
  for (const width of [1280, 390]) {
    for (const colorScheme of ["light", "dark"]) await lookAround(width, colorScheme);
  }
  console.log("the site works in the browser");
} finally {
  await browser.close();
  server.close();
}

async function checkFigures() {
  const { tab, close } = await open({ width: 1280, height: 900 });
  await tab.goto(`${origin}/idea/exact`);
  const row = tab.getByRole("row", { name: "largest difference of any output" });
  const difference = Number.parseFloat(await row.getByRole("cell").last().textContent());
  assert.ok(difference < 1e-5, `exact construction: difference ${difference}`);

  await tab.goto(`${origin}/idea/`);
  const grouped = tab.getByRole("row", { name: /^GQA/ });
  assert.match(
    await grouped.textContent(),
    /2,048/,
    "Llama 3 8B caches 2,048 numbers per token and layer",
  );

  await tab.goto(`${origin}/idea/rotation`);
  await tab.getByRole("button", { name: /Measure the sample model/ }).click();
  const needs = async (name) => {
    const cells = tab.getByRole("row", { name }).getByRole("cell");
    return Number(/in (\d+) of/.exec(await cells.last().textContent({ timeout: 60_000 }))[1]);
  };
  const [rotated, plain] = [
    await needs(/rotated as they are cached/),
    await needs(/before their rotation/),
  ];
  assert.ok(plain < rotated, `keys need ${plain} directions, rotated ones ${rotated}`);
  console.log(
    `figures: exact to ${difference}, keys in ${plain} directions and ${rotated} when rotated`,
  );

  if (folder) await picture(tab, "spectrum");
  await tab.goto(`${origin}/runtime/viewer`);
  await tab
    .locator("input[type=file]")
    .setInputFiles(at("packages/sample-model/model/model.safetensors"));
  await tab.getByText("model.safetensors: 56 tensors").waitFor();
  await tab.locator("input[type=file]").setInputFiles(at("package.json"));
  await tab.getByRole("alert").waitFor();
  await close();
}

async function checkSearch() {
  const { tab, close } = await open({ width: 1280, height: 900 });
  await tab.goto(`${origin}/start`);
  await tab.getByRole("button", { name: "Search" }).click();
  await tab.getByRole("searchbox").fill("kvLoraRank");
  await tab.locator(".results .result").first().waitFor();
  const results = await tab.locator(".results .result").allTextContents();
  assert.ok(
    results.some((text) => /lora/i.test(text) || /latent/i.test(text)),
    results.join("\n"),
  );
  console.log(`search box: ${results.length} results for kvLoraRank`);
  await close();
}

async function lookAround(width, colorScheme) {
  const { tab, close } = await open({ width, height: width === 390 ? 844 : 900 }, colorScheme);
  for (const path of pictured) {
    await tab.goto(origin + path);
    await tab.waitForLoadState("networkidle");
    const overflow = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${path} is ${overflow} pixels wider than ${width}`);
    if (!folder) continue;
    const name = path === "/" ? "home" : path.replaceAll("/", "-").replace(/^-|-$/g, "");
    await picture(tab, `${name}-${width}-${colorScheme}`);
  }
  await close();
}

async function picture(tab, name) {
  mkdirSync(folder, { recursive: true });
  // Long pages are cut: what one sees first, and a little more.
  const { width } = tab.viewportSize();
  const height = await tab.evaluate(() => Math.min(document.documentElement.scrollHeight, 2400));
  const clip = { x: 0, y: 0, width, height };
  await tab.screenshot({ path: join(folder, `${name}.png`), fullPage: true, clip });
}

/** A tab in which any error, logged or thrown, fails the check when it is closed. */
async function open(viewport, colorScheme = "light") {
  const context = await browser.newContext({ viewport, colorScheme });
  const tab = await context.newPage();
  const errors = [];
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  tab.on(
    "request",
    (request) =>
      request.url().startsWith(origin) ||
      request.url().startsWith("data:") ||
      request.url().startsWith("blob:") ||
      errors.push(`asked for ${request.url()}`),
  );
  return {
    tab,
    async close() {
      await context.close();
      assert.deepEqual(errors, []);
    },
  };
}

/** The built files, with addresses that do without `.html`. */
async function serve() {
  const made = createServer(async ({ url }, response) => {
    const { pathname } = new URL(url, "http://localhost");
    const name = pathname.endsWith("/") ? `${pathname}index.html` : pathname;
    for (const candidate of [name, `${name}.html`]) {
      const content = await readFile(join(dist, candidate)).catch(() => undefined);
      if (content) {
        response.setHeader("content-type", types[extname(candidate)] ?? "application/octet-stream");
        return response.end(content);
      }
    }
    return response.writeHead(404).end();
  });
  await new Promise((done) => made.listen(0, "127.0.0.1", done));
  return made;
}
