import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { run } from "../apps/cli/src/program";
import { counted } from "../tools/trust/counts";
import { kinds, type Files } from "./attack";
import { modelAttacks } from "./corpus";
import { written } from "./written";

const folder = await mkdtemp(join(tmpdir(), "transmla-attacks-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The code with which a server refuses to start, or with which it answers a chat. */
async function serverVerdict(files: Files, name: string): Promise<string> {
  const path = await written(files, join(folder, name));
  const controller = new AbortController();
  let errors = "";
  let answer: Promise<string> | undefined;
  const io = {
    stdout: {
      write(text: string) {
        const [url] = /http:\/\/\S+\/v1/.exec(text) ?? [];
        if (url === undefined) return;
        answer ??= ask(url).finally(() => controller.abort(new Error("enough")));
      },
    },
    stderr: { write: (text: string) => (errors += text) },
    env: { NO_COLOR: "1" },
    signal: controller.signal,
  };
  await run(["serve", path, "--port", "0", "--device", "reference", "--name", "attacked"], io);
  if (answer !== undefined) return answer;
  return /^error: .+ \[(\w+)\]\n$/m.exec(errors)?.[1] ?? `no code: ${errors}`;
}

async function ask(url: string): Promise<string> {
  const response = await fetch(`${url}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "attacked",
      messages: [{ role: "user", content: "Who is there?" }],
      max_tokens: 2,
    }),
  });
  const { error } = (await response.json()) as { error?: { code: string } };
  return error?.code ?? "sound";
}

describe("bad files: the server", () => {
  for (const kind of kinds) {
    const attacks = modelAttacks.filter((attack) => attack.kind === kind);
    if (attacks.length === 0) continue;
    it(`says the same of ${kind}`, async ({ task }) => {
      const found: string[] = [];
      for (const { bad, name } of attacks) {
        found.push(`${name}: ${await serverVerdict(bad, join(kind, name))}`);
      }
      expect(found).toEqual(attacks.map(({ name, code }) => `${name}: ${code}`));
      expect(await serverVerdict(attacks[0]!.twin, join(kind, "twin"))).toBe("sound");
      counted(task, { files: attacks.length + 1 });
    });
  }
});
