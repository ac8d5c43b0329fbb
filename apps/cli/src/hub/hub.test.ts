import { createHash } from "node:crypto";
import { lstat, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { modelFolderPath } from "@transmla/sample-model";
import { describe, expect, it } from "vitest";
import { temporaryFolder, transmla, transmlaJson } from "../testing";
import { parseHubId } from "./hub-id";
import { hubSettings } from "./hub-settings";
import { commit, Mirror, weights } from "./testing-mirror";

async function setting(mirror: Mirror, more: Record<string, string> = {}) {
  const cache = await temporaryFolder();
  return { cache, env: { HF_ENDPOINT: mirror.endpoint, HF_HUB_CACHE: cache, ...more } };
}

const repository = (cache: string) => join(cache, "models--tiny--sample");

/** Files in the cache that are not whole. */
async function incomplete(cache: string): Promise<string[]> {
  const names = await readdir(join(repository(cache), "blobs"));
  return names.filter((name) => name.endsWith(".incomplete"));
}

describe("a model from the hub", () => {
  it("is downloaded once, into the layout that huggingface_hub reads, and runs", async () => {
    const mirror = await Mirror.start();
    const { cache, env } = await setting(mirror);
    const prompt = ["--prompt", "ROMEO:", "--max-tokens", "8", "--temperature", "0"];
    const local = await transmlaJson(["generate", "sample", ...prompt]);
    const first = await transmlaJson(["generate", "tiny/sample", ...prompt], { env });
    expect(first).toMatchObject({ code: 0, result: { text: local.result["text"] } });
    const root = repository(cache);
    expect(await readFile(join(root, "refs", "main"), "utf8")).toBe(commit);
    const link = join(root, "snapshots", commit, weights);
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect(await incomplete(cache)).toEqual([]);
    const fetched = mirror.requests.filter(({ url }) => url.includes("/resolve/"));
    expect(fetched.map(({ url }) => url.split("/").at(-1)).toSorted()).toEqual(
      (await readdir(modelFolderPath())).toSorted(),
    );
    mirror.requests.length = 0;
    expect(await transmlaJson(["inspect", "tiny/sample"], { env })).toMatchObject({ code: 0 });
    expect(mirror.requests.map(({ url }) => url)).toEqual([
      "/api/models/tiny/sample/revision/main?blobs=true",
    ]);
  });

  it("is planned for from its config, the only file that is downloaded", async () => {
    const mirror = await Mirror.start();
    const { cache, env } = await setting(mirror);
    const plan = ["plan", "tiny/sample", "--target", "h100"];
    const planned = await transmlaJson(plan, { env });
    expect(planned).toMatchObject({ code: 0, result: { model: { parameters: 2_853_312 } } });
    const snapshot = join(repository(cache), "snapshots", commit);
    expect(await readdir(snapshot)).toEqual(["config.json"]);
    const offline = { ...env, HF_HUB_OFFLINE: "1" };
    expect(await transmlaJson(plan, { env: offline })).toMatchObject({ code: 0 });
    // That is no download of the model.
    expect(await transmlaJson(["inspect", "tiny/sample"], { env: offline })).toMatchObject({
      code: 1,
      result: { error: { code: "HubUnreachable" } },
    });
    expect(await transmlaJson(["inspect", "tiny/sample"], { env })).toMatchObject({ code: 0 });
  });

  it("goes on where a connection broke off, within one command", async () => {
    const mirror = await Mirror.start();
    mirror.cutAfter = 2_000_000;
    const { env } = await setting(mirror);
    expect(await transmlaJson(["inspect", "tiny/sample"], { env })).toMatchObject({ code: 0 });
    const ranges = mirror.requests
      .filter(({ url }) => url.endsWith(weights))
      .map(({ range }) => range);
    expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
  });

  it("goes on after Ctrl-C", async () => {
    const mirror = await Mirror.start();
    const { cache, env } = await setting(mirror);
    const stopped = await transmla(["inspect", "tiny/sample"], {
      env,
      isTTY: true,
      interruptAt: "downloading tiny/sample",
    });
    expect(stopped.code).toBe(130);
    expect(await readdir(join(repository(cache), "snapshots", commit))).not.toContain(weights);
    expect(await transmlaJson(["inspect", "tiny/sample"], { env })).toMatchObject({ code: 0 });
    expect(await incomplete(cache)).toEqual([]);
  });

  it("a partial file from an earlier attempt is used, and checked", async () => {
    const mirror = await Mirror.start();
    const { cache, env } = await setting(mirror);
    const content = await readFile(join(modelFolderPath(), weights));
    const blob = createHash("sha256").update(content).digest("hex");
    await transmla(["inspect", "tiny/sample"], { env });
    const path = join(repository(cache), "blobs", blob);
    await rm(path);
    await writeFile(`${path}.incomplete`, content.subarray(0, 1_234_567));
    mirror.requests.length = 0;
    expect(await transmla(["inspect", "tiny/sample"], { env })).toMatchObject({ code: 0 });
    expect(mirror.requests.at(-1)).toMatchObject({ range: "bytes=1234567-" });
    await rm(path);
    await writeFile(`${path}.incomplete`, Buffer.alloc(1000, 7));
    const wrong = await transmlaJson(["inspect", "tiny/sample"], { env });
    expect(wrong).toMatchObject({ code: 1, result: { error: { code: "HubHashMismatch" } } });
    expect(await incomplete(cache)).toEqual([]);
    expect(await transmlaJson(["inspect", "tiny/sample"], { env })).toMatchObject({ code: 0 });
  });

  it("refuses content that is not what was announced", async () => {
    const mirror = await Mirror.start();
    mirror.corrupt = true;
    const { cache, env } = await setting(mirror);
    const outcome = await transmlaJson(["inspect", "tiny/sample"], { env });
    expect(outcome).toMatchObject({ code: 1, result: { error: { code: "HubHashMismatch" } } });
    expect(await incomplete(cache)).toEqual([]);
    expect(await readdir(join(repository(cache), "snapshots", commit))).not.toContain(weights);
  });

  it("needs the hub only once", async () => {
    const mirror = await Mirror.start();
    const { env } = await setting(mirror);
    const offline = { ...env, HF_HUB_OFFLINE: "1" };
    expect(await transmlaJson(["inspect", "tiny/sample"], { env: offline })).toMatchObject({
      code: 1,
      result: { error: { code: "HubUnreachable" } },
    });
    await transmla(["inspect", "tiny/sample"], { env });
    expect(await transmlaJson(["inspect", "tiny/sample"], { env: offline })).toMatchObject({
      code: 0,
    });
    // Port 9 is the discard service, which nobody runs.
    const elsewhere = { ...env, HF_ENDPOINT: "http://127.0.0.1:9" };
    const { code, stderr } = await transmla(["inspect", "tiny/sample"], { env: elsewhere });
    expect(code).toBe(0);
    expect(stderr).toContain("Going on with the copy in the cache");
  });

  it.each<[string, string, Record<string, string>, string]>([
    ["no such repository", "tiny/other", {}, "HubNotFound"],
    ["no such revision", "tiny/sample@v2", {}, "HubNotFound"],
    ["nobody there", "tiny/sample", { HF_ENDPOINT: "http://127.0.0.1:9" }, "HubUnreachable"],
  ])("says what is wrong: %s", async (_, id, more, error) => {
    const { env } = await setting(await Mirror.start(), more);
    const outcome = await transmlaJson(["inspect", id], { env });
    expect(outcome).toMatchObject({ code: 1, result: { error: { code: error } } });
  });

  it("shows its token to the hub", async () => {
    const mirror = await Mirror.start();
    mirror.token = "hf_secret";
    const { env } = await setting(mirror);
    const refused = await transmlaJson(["inspect", "tiny/sample"], { env });
    expect(refused).toMatchObject({ code: 1, result: { error: { code: "HubNotFound" } } });
    const allowed = { ...env, HF_TOKEN: "hf_secret" };
    expect(await transmlaJson(["inspect", "tiny/sample"], { env: allowed })).toMatchObject({
      code: 0,
    });
  });

  it("takes the only GGUF file where there are no safetensors, and does not choose among several", async () => {
    const folder = await temporaryFolder();
    const path = join(folder, "a.gguf");
    await transmla(["export", "sample", path]);
    const gguf = await readFile(path);
    const one = await setting(await Mirror.start({ "a.gguf": gguf }, /safetensors/));
    expect(await transmlaJson(["inspect", "tiny/sample"], one)).toMatchObject({ code: 0 });
    const two = await setting(
      await Mirror.start({ "a.gguf": gguf, "b.gguf": gguf }, /safetensors/),
    );
    expect(await transmlaJson(["inspect", "tiny/sample"], two)).toMatchObject({
      code: 1,
      result: { error: { code: "HubNoModel", context: { files: ["a.gguf", "b.gguf"] } } },
    });
  });
});

it("reads ids and nothing that could be a path", () => {
  expect(parseHubId("org/name")).toEqual({ repository: "org/name", revision: "main" });
  expect(parseHubId("org/a.b-c@refs/pr/3")).toEqual({
    repository: "org/a.b-c",
    revision: "refs/pr/3",
  });
  for (const text of [
    "name",
    "./a/b",
    "a/b/c",
    "../a",
    "a/..",
    "/a/b",
    "a/b@../x",
    "~/a",
    "a/b@",
  ]) {
    expect(parseHubId(text), text).toBeUndefined();
  }
});

it("keeps files where huggingface_hub does", () => {
  expect(hubSettings({ HF_HUB_CACHE: "/c", HF_HOME: "/h" }).cache).toBe("/c");
  expect(hubSettings({ HF_HOME: "/h" }).cache).toBe(join("/h", "hub"));
  expect(hubSettings({ XDG_CACHE_HOME: "/x" }).cache).toBe(join("/x", "huggingface", "hub"));
});
