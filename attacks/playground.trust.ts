import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchChromium, serveApp } from "../apps/playground/src/e2e/browser";
import { hasSoftwareGpu } from "../tools/software-gpu";
import { counted } from "../tools/trust/counts";
import { kinds, type Files } from "./attack";
import { modelAttacks } from "./corpus";

/** In the page: a worker of the app, the same for all, opens the files and writes two tokens of an answer, as if they had been dropped on it. */
async function use({ url, files }: { url: string; files: [string, number[]][] }): Promise<string> {
  const kept = globalThis as { trust?: { worker: Worker; last: number } };
  kept.trust ??= { worker: new Worker(url, { type: "module" }), last: 0 };
  const { trust } = kept;
  const { worker } = trust;
  const call = <Output>(name: string, input: unknown) =>
    new Promise<Output>((resolve, reject) => {
      const id = ++trust.last;
      worker.addEventListener("message", ({ data }) => {
        if (data.id !== id || data.kind === "event") return;
        if (data.kind === "done") resolve(data.output as Output);
        else reject(data.failure);
      });
      worker.addEventListener("error", ({ message }) => reject({ code: `crash: ${message}` }));
      worker.postMessage({ kind: "request", id, name, input }, []);
    });
  try {
    const dropped = files.map(([name, bytes]) => new File([Uint8Array.from(bytes)], name));
    const name = dropped.find((file) => file.name.endsWith(".gguf"))?.name ?? "folder";
    const { place, chat } = await call<{ place: string; chat: boolean }>("open", {
      kind: "files",
      name,
      files: dropped,
    });
    const said = [{ role: "user", content: "Who is there?" }];
    const prompt = chat ? { [place]: said } : "Who is there?";
    await call("write", { prompt, maxTokens: 2, temperature: 0, seed: 0 });
    return "sound";
  } catch (failure) {
    return (failure as { code: string }).code;
  }
}

/** What only the page asks first: whether anything of what was dropped can be a model. */
const beforeOthers: Readonly<Record<string, string>> = { "no config": "NoModelChosen" };

describe.runIf(hasSoftwareGpu)("bad files in the playground", () => {
  let page: Page;
  let url: string;
  const ended: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    const served = await serveApp();
    ended.push(served.close);
    const browser = await launchChromium();
    ended.push(() => browser.close());
    page = await browser.newPage();
    const workers = page.waitForEvent("worker");
    await page.goto(served.url);
    url = (await workers).url();
  });
  afterAll(async () => {
    for (const end of ended.toReversed()) await end();
  });

  const verdict = (files: Files) =>
    page.evaluate(use, {
      url,
      files: Array.from(files, ([name, bytes]): [string, number[]] => [name, [...bytes]]),
    });

  for (const kind of kinds) {
    const attacks = modelAttacks.filter((attack) => attack.kind === kind);
    if (attacks.length === 0) continue;
    it(`${kind}: the same verdict as the library's`, async ({ task }) => {
      const found: Record<string, string> = {};
      for (const { name, bad } of attacks) found[name] = await verdict(bad);
      const expected = attacks.map(({ name, code }) => [name, beforeOthers[name] ?? code]);
      expect(found).toEqual(Object.fromEntries(expected));
      const twins = [...new Set(attacks.map(({ twin }) => twin))];
      for (const twin of twins) expect(await verdict(twin)).toBe("sound");
      counted(task, { files: attacks.length + twins.length });
    });
  }
});
