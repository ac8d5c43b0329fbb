import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder, transmla, transmlaJson } from "../testing";

interface Turn {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly tokens: number;
}

interface Result {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly turns: readonly Turn[];
  readonly tokens: number;
  readonly cacheBytes: number;
  readonly groupedCacheBytes: number;
  readonly kept: string;
}

/** A chat with the sample model whose conversations are kept in `home`. */
function chat(home: string, input: readonly string[], ...flags: string[]) {
  return chatWith("sample", home, input, ...flags);
}

async function chatWith(model: string, home: string, input: readonly string[], ...flags: string[]) {
  const argv = ["chat", model, "--max-tokens", "20", "--threads", "1", ...flags];
  const { code, stderr, result } = await transmlaJson(argv, {
    input,
    env: { XDG_STATE_HOME: home },
  });
  return { code, stderr, result: result as unknown as Result };
}

const said = ["Who is there?", "What do you want?", "Then go."];
const answers = ({ messages }: Result) =>
  messages.filter(({ role }) => role === "assistant").map(({ content }) => content);

describe("chat", () => {
  it("answers line by line, reading only what is new", async () => {
    const { code, stderr, result } = await chat(await temporaryFolder(), said);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(result.messages.map(({ role }) => role)).toEqual([
      "user",
      "assistant",
      "user",
      "assistant",
      "user",
      "assistant",
    ]);
    expect(answers(result).every((text) => text !== "")).toBe(true);
    for (const [index, { promptTokens, cachedTokens, tokens }] of result.turns.entries()) {
      const before = result.turns[index - 1];
      expect(tokens).toBe(20);
      // The cache holds all of the past but its last token, which has not been through the model.
      const past = before ? before.promptTokens + before.tokens - 1 : 0;
      expect(cachedTokens).toBe(past);
      expect(promptTokens - cachedTokens).toBeLessThan(30);
    }
    expect(result.groupedCacheBytes).toBe(result.cacheBytes);
  });

  it("removes what a killed process was writing, not what another one writes", async () => {
    const home = await temporaryFolder();
    await chat(home, ["Who is there?"]);
    const folder = join(home, "transmla", "chats", "sample");
    const names = await readdir(folder);
    // No process has the number of one more than Linux ever gives, 2^22.
    await writeFile(join(folder, "chat.json.4194305.tmp"), "{");
    await writeFile(join(folder, `chat.json.${process.ppid}.tmp`), "{");
    await chat(home, ["What do you want?"]);
    const left = await readdir(folder);
    expect(left.toSorted()).toEqual([...names, `chat.json.${process.ppid}.tmp`].toSorted());
  });

  it("goes on after a restart from its snapshot, with the same text, reading only what is new", async () => {
    const whole = await chat(await temporaryFolder(), said);
    const home = await temporaryFolder();
    const parts = [];
    for (const line of said) parts.push((await chat(home, [line])).result);
    expect(answers(parts.at(-1)!)).toEqual(answers(whole.result));
    expect(parts.flatMap(({ turns }) => turns.map(({ cachedTokens }) => cachedTokens))).toEqual(
      whole.result.turns.map(({ cachedTokens }) => cachedTokens),
    );
  });

  it("reads the conversation again where a byte of the snapshot has changed", async () => {
    const home = await temporaryFolder();
    const { result } = await chat(home, said.slice(0, 2));
    const path = join(result.kept, "cache.safetensors");
    const snapshot = await readFile(path);
    const whole = await chat(await temporaryFolder(), said);
    const goOn = async (bytes: Uint8Array) => {
      const other = await temporaryFolder();
      const folder = join(other, ...result.kept.slice(home.length + 1).split("/"));
      await cp(result.kept, folder, { recursive: true });
      await writeFile(join(folder, "cache.safetensors"), bytes);
      return chat(other, said.slice(2));
    };
    const changed = Uint8Array.from(snapshot);
    changed[changed.length - 100]! ^= 1;
    const damaged = await goOn(changed);
    expect(damaged.stderr).toContain("the kept cache is not used");
    expect(damaged.result.turns[0]!.cachedTokens).toBe(0);
    expect(answers(damaged.result)).toEqual(answers(whole.result));
    const sound = await goOn(snapshot);
    expect(sound.stderr).toBe("");
    expect(sound.result.turns[0]!.cachedTokens).toBeGreaterThan(40);
  });

  it("goes on with latents as with keys and values, and never with the cache of another model", async () => {
    const home = await temporaryFolder();
    const latent = join(home, "latent");
    await transmla(["convert", "sample", latent, "--method", "exact", "--threads", "1"]);
    const whole = await chatWith(latent, await temporaryFolder(), said.slice(0, 2));
    expect(whole.result.groupedCacheBytes).toBeGreaterThan(0);
    const first = await chatWith(latent, home, said.slice(0, 1), "--chat", "shared");
    const second = await chatWith(latent, home, said.slice(1, 2), "--chat", "shared");
    expect(answers(second.result)).toEqual(answers(whole.result));
    expect(second.result.turns[0]!.cachedTokens).toBe(first.result.tokens - 1);
    const other = await chat(home, said.slice(2), "--chat", "shared");
    expect(other.stderr).toContain("the kept cache is not used");
    expect(other.result.messages).toHaveLength(6);
    expect(other.result.turns[0]!.cachedTokens).toBe(0);
  });

  it("keeps conversations apart by name, and begins anew when told to", async () => {
    const home = await temporaryFolder();
    await chat(home, said.slice(0, 1));
    const other = await chat(home, said.slice(0, 1), "--chat", "../other: /x");
    expect(other.result.messages).toHaveLength(2);
    const folders = await readdir(join(home, "transmla", "chats"));
    expect(folders).toHaveLength(2);
    expect((await chat(home, said.slice(1, 2))).result.messages).toHaveLength(4);
    expect((await chat(home, said.slice(1, 2), "--new")).result.messages).toHaveLength(2);
    expect((await chat(home, ["/clear"])).result.messages).toHaveLength(0);
    expect(await readdir(join(home, "transmla", "chats"))).toHaveLength(1);
  });

  it("says first what the system should be told", async () => {
    const home = await temporaryFolder();
    const { result } = await chat(home, said.slice(0, 1), "--system", "Be a king.");
    expect(result.messages[0]).toEqual({ role: "system", content: "Be a king." });
  });

  it("refuses a kept conversation that is none", async () => {
    const home = await temporaryFolder();
    const { result } = await chat(home, said.slice(0, 1));
    await writeFile(join(result.kept, "chat.json"), '{"version":1}');
    const again = await chat(home, said.slice(0, 1));
    expect(again.code).toBe(1);
    expect(again.result).toMatchObject({ error: { code: "ChatUnreadable" } });
    expect((await chat(home, said.slice(0, 1), "--new")).code).toBe(0);
  });

  it("prints answers to standard output and the rest beside it", async () => {
    const env = { XDG_STATE_HOME: await temporaryFolder() };
    const argv = ["chat", "sample", "--max-tokens", "8", "--threads", "1"];
    const input = ["Who is \\", "there?", "", "/nothing", "/stats", "/help", "/exit", "not read"];
    const { code, stdout, stderr } = await transmla(argv, { input, env });
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^a new conversation · \/help .*\n\d+ tokens read, 0 known · 8 written at .* · cut off by/,
    );
    expect(stdout).toContain("/nothing is not known");
    expect(stdout).toMatch(
      /conversation {3}2 messages, \d+ of 1,024 tokens\ncache {10}\d.* of keys and values/,
    );
    expect(stdout).toMatch(/\/clear +forget/);
    expect(stdout).not.toContain("not read");
  });

  it("tells an error and goes on", async () => {
    const env = { XDG_STATE_HOME: await temporaryFolder() };
    const argv = ["chat", "sample", "--max-tokens", "4", "--threads", "1"];
    const input = ["word ".repeat(2000), "Who?"];
    const { code, stderr } = await transmla(argv, { input, env });
    expect(code).toBe(0);
    expect(stderr).toMatch(/error: The prompt has .*PromptTooLong.*\nThe conversation has filled/);
    expect(stderr).toMatch(/0 known · 4 written/);
  });

  it("wants a model with a chat template", async () => {
    const { code, result } = await transmlaJson(["chat", "nowhere"], { input: [] });
    expect(code).toBe(1);
    expect(result).toMatchObject({ error: { code: "ModelNotFound" } });
  });
});
