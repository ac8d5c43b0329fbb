import { mkdir, mkdtemp, rm, writeFile, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Browser, Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unzip } from "../testing/unzip";
import {
  expectAccessible,
  expectNoSideScroll,
  launchChromium,
  openTab,
  serveApp,
  takePicture,
} from "./browser";

const viewports = {
  desktop: { width: 1280, height: 800 },
  phone: { width: 390, height: 844 },
} as const;

/** Conversions on two slow cores. */
const LONG = 180_000;

let browser: Browser;
let app: Awaited<ReturnType<typeof serveApp>>;

beforeAll(async () => {
  app = await serveApp();
  browser = await launchChromium();
});

afterAll(async () => {
  await browser?.close();
  await app?.close();
});

/** Checks a state of the page and takes its picture. */
async function look(page: Page, name: string): Promise<void> {
  await expectAccessible(page);
  await expectNoSideScroll(page);
  await takePicture(page, name);
}

const idle = (page: Page) =>
  page.waitForFunction(() => document.querySelector(".task.running") === null, undefined, {
    timeout: LONG,
  });

async function openSample(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Open the sample model" }).click();
  await page.getByRole("heading", { name: "sample grouped-query" }).waitFor();
  await idle(page);
}

async function convertTo(page: Page, keep: number, calibration: number): Promise<void> {
  await page.getByRole("link", { name: "Convert", exact: true }).click();
  await page.getByLabel("Kept cache").fill(String(keep));
  await page.getByLabel("Calibration", { exact: true }).fill(String(calibration));
  await page.getByText(/Takes about/).waitFor();
}

async function summaryOf(page: Page): Promise<Record<string, string>> {
  const cells = await page.locator("section[aria-label=Summary] .meter").allInnerTexts();
  return Object.fromEntries(cells.map((text) => text.split("\n").slice(0, 2)));
}

describe.each(Object.entries(viewports))("on a %s", (device, viewport) => {
  it("opens, converts, compares, saves and opens again", { timeout: 2 * LONG }, async () => {
    const { page, errors } = await openTab(browser, viewport);
    if (device === "phone") {
      // Phones have no dialog for folders: the page then offers an input for files, and one file to download.
      await page.addInitScript("delete globalThis.showDirectoryPicker");
    } else {
      // The dialog is the system's; what it would give is a real folder of the browser's.
      await page.addInitScript(`globalThis.showDirectoryPicker = async () =>
        (await navigator.storage.getDirectory()).getDirectoryHandle("chosen", { create: true })`);
    }
    await page.goto(app.url);
    await page
      .getByText(/thread/)
      .first()
      .waitFor();
    await look(page, `${device}-start`);

    await openSample(page);
    await look(page, `${device}-model`);

    await convertTo(page, 25, device === "desktop" ? 16_384 : 4096);
    await look(page, `${device}-convert`);
    await page.getByRole("button", { name: "Convert to 25 % of the cache" }).click();
    await page.getByText(/of 6 layers/).waitFor({ timeout: LONG });
    await takePicture(page, `${device}-converting`);
    await page.getByRole("heading", { name: "Results" }).waitFor({ timeout: LONG });
    await page.getByText("Singular values of what layer 0 caches").waitFor({ timeout: LONG });
    await idle(page);
    const summary = await summaryOf(page);
    expect(summary["Cache"]).toBe("25.0 %");
    const [before, after] = ["original", "converted"].map((name) =>
      Number(summary[`Perplexity, ${name}`]),
    );
    expect(before).toBeGreaterThan(10);
    expect(after! / before!).toBeGreaterThan(1);
    expect(after! / before!).toBeLessThan(1.3);
    await look(page, `${device}-results`);

    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download as one file" }).click(),
    ]);
    const archive = new Uint8Array(await readFile(await download.path()));
    const files = unzip(archive);
    expect([...files.keys()].map((path) => basename(path)).toSorted()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    if (device === "desktop") {
      await page.getByRole("button", { name: "Save to a folder" }).click();
      await page.getByText(/Saved 5 files/).waitFor();
      await page.getByRole("button", { name: "Save to a folder" }).click();
      await page.getByText("chosen holds a model already").waitFor();
      await page.getByRole("button", { name: "Dismiss" }).click();
    } else {
      await page.getByRole("button", { name: "Keep in this browser" }).click();
      await page.getByText(/Saved 5 files/).waitFor();
    }

    await page.getByRole("link", { name: "Write", exact: true }).click();
    await page.getByRole("button", { name: "Let both write" }).click();
    await page.getByRole("heading", { name: "Where they differ" }).waitFor({ timeout: LONG });
    await idle(page);
    const texts = await page.locator(".sheet .text").allInnerTexts();
    expect(texts).toHaveLength(2);
    for (const text of texts) expect(text.length).toBeGreaterThan(60);
    await look(page, `${device}-write`);
    if (device === "desktop") {
      await page.getByText("What fits in a given memory").click();
      const [whole, quarter] = await page.locator(".budget .meter dd").allInnerTexts();
      const tokens = (text = "") => Number(text.replaceAll(/\D/g, ""));
      expect(tokens(quarter) / tokens(whole)).toBeCloseTo(4, 2);
    }

    await page.getByRole("button", { name: /^Token 30:/ }).click();
    await page.getByRole("heading", { name: "Inside" }).waitFor();
    await page
      .getByText(/Attention of layer 0: 8 heads over 31 tokens/)
      .first()
      .waitFor();
    await page.getByLabel("Layer", { exact: true }).fill("2");
    await idle(page);
    await look(page, `${device}-inside`);

    await page.getByRole("link", { name: "Plan", exact: true }).click();
    await page.getByText("converted to 12.5 %").first().waitFor();
    await idle(page);
    await look(page, `${device}-plan`);

    // The page anew: what was saved opens beside the original and measures the same.
    await page.goto("about:blank");
    await page.goto(app.url);
    await openSample(page);
    let folder: string | undefined;
    if (device === "desktop") {
      await page.getByRole("button", { name: "Choose a folder" }).click();
    } else {
      folder = await mkdtemp(join(tmpdir(), "playground-"));
      for (const [path, content] of files) {
        await mkdir(join(folder, dirname(path)), { recursive: true });
        await writeFile(join(folder, path), content);
      }
      await page.getByLabel("Choose a folder").setInputFiles(join(folder, "sample-mla"));
    }
    await page.getByRole("heading", { name: /latent/ }).waitFor();
    await idle(page);
    await page.getByRole("link", { name: "Results", exact: true }).click();
    await page.getByText("Perplexity, converted").waitFor({ timeout: LONG });
    expect(await summaryOf(page)).toEqual(summary);
    await look(page, `${device}-opened`);
    if (folder !== undefined) await rm(folder, { recursive: true });
    expect(errors).toEqual([]);
    await page.context().close();
  });
});

it("keeps a model in the browser, and chats with both", { timeout: LONG }, async () => {
  const { page, errors } = await openTab(browser, viewports.phone, { dark: true });
  await page.goto(app.url);
  await openSample(page);
  await convertTo(page, 50, 2048);
  await page.getByRole("button", { name: "Convert to 50 % of the cache" }).click();
  await page.getByRole("heading", { name: "Results" }).waitFor({ timeout: LONG });
  await page.getByText("Singular values of what layer 0 caches").waitFor({ timeout: LONG });
  await idle(page);
  await page.getByRole("button", { name: "Keep in this browser" }).click();
  await page.getByText(/Saved 5 files/).waitFor();
  await page.getByRole("button", { name: "Also convert to 25 % and 12.5 %" }).click();
  await page.getByText(/^sample at 12.5 %:.*converted in/).waitFor({ timeout: LONG });
  await page.getByRole("button", { name: /^Also convert/ }).waitFor({ state: "detached" });
  await idle(page);
  await page.getByRole("region", { name: "Perplexity", exact: true }).scrollIntoViewIfNeeded();
  const curve = await page
    .locator("section[aria-label=Perplexity] tbody tr")
    .evaluateAll((rows) =>
      (rows as HTMLTableRowElement[]).map((row) =>
        [...row.cells].map((cell) => Number(cell.textContent)),
      ),
    );
  expect(curve.map(([kept]) => kept)).toEqual([12.5, 25, 50, 100]);
  const perplexities = curve.slice(0, 3).map(([, converted]) => converted!);
  expect(perplexities).toEqual(perplexities.toSorted((a, b) => b - a));
  await look(page, "phone-dark-curve");
  await page.getByRole("link", { name: "Write", exact: true }).click();
  await page.getByLabel("Chat").check();
  for (const message of ["Who is there?", "And who are you?"]) {
    await page.getByLabel("Your message").fill(message);
    await page.getByRole("button", { name: "Let both write" }).click();
    await page.getByRole("heading", { name: "Where they differ" }).waitFor({ timeout: LONG });
    await idle(page);
  }
  const [text] = await page.locator(".sheet .text").allInnerTexts();
  expect(text).toContain("Who is there?");
  expect(text).toContain("And who are you?");
  await look(page, "phone-dark-chat");
  await page.goto("about:blank");
  await page.goto(app.url);
  await page.getByRole("button", { name: "Open sample-mla-50" }).click();
  await page.getByText("Open the model it was converted from").waitFor();
  await page.getByRole("button", { name: "Remove sample-mla-50" }).click();
  await page.getByRole("button", { name: "Remove sample-mla-50" }).waitFor({ state: "detached" });
  expect(errors).toEqual([]);
  await page.context().close();
});
