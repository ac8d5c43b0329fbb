import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFile } from "node:fs/promises";
import { chromium, type Browser, type Page, type ViewportSize } from "playwright";
import { preview } from "vite";
import { expect } from "vitest";
import { chromiumPath } from "../../../../tools/software-gpu";

const root = fileURLToPath(new URL("../..", import.meta.url));
const axePath = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** An address at which the app is served. */
export interface Served {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** Serves the built app as `vite preview` does: cross-origin isolated. */
export async function serveApp(): Promise<Served> {
  const server = await preview({
    root,
    configFile: `${root}/vite.config.ts`,
    logLevel: "silent",
    preview: { port: 0, host: "127.0.0.1" },
  });
  return { url: server.resolvedUrls!.local[0]!, close: () => server.close() };
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** Serves it as the plainest of servers would: in some folder, without a header but the type. */
export async function servePlainly(): Promise<Served> {
  const at = "/some/folder/";
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://localhost");
    const name = pathname === at ? "index.html" : pathname.slice(at.length);
    readFile(join(root, "dist", name)).then(
      (content) => {
        response.setHeader("Content-Type", types[extname(name)] ?? "application/octet-stream");
        response.end(content);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => new Promise<void>((resolve) => void server.close(() => resolve()));
  return { url: `http://127.0.0.1:${port}${at}`, close };
}

/** Chromium with a GPU in software, as it is on machines without one. */
export const launchChromium = (): Promise<Browser> =>
  chromium.launch({
    executablePath: chromiumPath,
    args: ["--no-sandbox", "--enable-unsafe-webgpu", "--enable-unsafe-swiftshader"],
    ignoreDefaultArgs: ["--disable-gpu"],
  });

/** A tab that keeps whatever goes wrong in it. */
export interface Tab {
  readonly page: Page;
  /** Messages of console errors, exceptions and failed requests. */
  readonly errors: readonly string[];
}

export async function openTab(
  browser: Browser,
  viewport: ViewportSize,
  options: { readonly dark?: boolean; readonly acceptDownloads?: boolean } = {},
): Promise<Tab> {
  const context = await browser.newContext({
    viewport,
    colorScheme: options.dark ? "dark" : "light",
    reducedMotion: "reduce",
    hasTouch: viewport.width < 600,
  });
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("requestfailed", (request) => errors.push(`${request.url()} failed`));
  return { page, errors };
}

let axeSource: string | undefined;

/** Fails on every violation that axe finds on the page as it is. */
export async function expectAccessible(page: Page): Promise<void> {
  axeSource ??= await readFile(axePath, "utf8");
  await page.evaluate(axeSource);
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
    const { violations: found } = await axe.run();
    return found.map(
      ({ id, help, nodes }) => `${id}: ${help}: ${nodes[0]?.html} (${nodes.length})`,
    );
  });
  expect(violations).toEqual([]);
}

/** Fails if the page can be scrolled sideways. */
export async function expectNoSideScroll(page: Page): Promise<void> {
  const [content, window] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  expect(content).toBeLessThanOrEqual(window!);
}

const docsScreens = fileURLToPath(new URL("../../../../docs/public/screens/", import.meta.url));
/** The screenshots that README and docs show. */
const shown = new Set([
  "desktop-convert",
  "desktop-results",
  "desktop-write",
  "desktop-inside",
  "phone-start",
]);

/**
 * Takes a picture of the page, to be looked at: into `apps/playground/screens`, which git ignores. With `TRANSMLA_UPDATE_SCREENS=1`
 * those of README and docs are replaced.
 */
export async function takePicture(page: Page, name: string): Promise<void> {
  const update = process.env["TRANSMLA_UPDATE_SCREENS"] === "1" && shown.has(name);
  await page.screenshot({
    path: join(update ? docsScreens : join(root, "screens"), `${name}.png`),
  });
}
