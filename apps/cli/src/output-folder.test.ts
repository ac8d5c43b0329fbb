import { spawnSync } from "node:child_process";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkOutput, withOutput } from "./output-folder";
import { temporaryFolder } from "./testing";

const names = ["model.safetensors", "tokenizer.json", "config.json"];

async function refusal(path: string, input = "/nowhere"): Promise<unknown> {
  return checkOutput(path, input, names).then(
    () => "accepted",
    (error: { code: string }) => error.code,
  );
}

describe("checkOutput", () => {
  it("accepts a new folder, an empty one and one with other files", async () => {
    const folder = await temporaryFolder();
    expect(await refusal(join(folder, "new", "deep"))).toBe("accepted");
    expect(await refusal(folder)).toBe("accepted");
    await writeFile(join(folder, "notes.txt"), "mine");
    expect(await refusal(folder)).toBe("accepted");
  });

  it("refuses the input under any name", async () => {
    const folder = await temporaryFolder();
    const input = join(folder, "model");
    const link = join(folder, "link");
    await mkdir(input);
    await symlink(input, link);
    expect(await refusal(input, input)).toBe("OutputIsInput");
    expect(await refusal(link, input)).toBe("OutputIsInput");
    expect(await refusal(input, link)).toBe("OutputIsInput");
    expect(await refusal(`${input}/../model/.`, input)).toBe("OutputIsInput");
    expect(await refusal(join(input, "mla"), input)).toBe("accepted");
  });

  it.each(["config.json", "model-00001-of-00002.safetensors", "other.gguf", "tokenizer.json"])(
    "refuses a folder with %s",
    async (name) => {
      const folder = await temporaryFolder();
      await writeFile(join(folder, name), "");
      expect(await refusal(folder)).toBe("OutputExists");
    },
  );

  it("refuses a file", async () => {
    const path = join(await temporaryFolder(), "file");
    await writeFile(path, "");
    expect(await refusal(path)).toBe("OutputUnusable");
  });
});

const failing = () => Promise.reject(new Error("stop"));

describe("withOutput", () => {
  it("leaves what was written, and no lock", async () => {
    const path = join(await temporaryFolder(), "a", "b");
    const during: string[] = [];
    await withOutput(path, names, async () => {
      during.push(...(await readdir(path)));
      await writeFile(join(path, "config.json"), "{}");
    });
    expect(during).toEqual([".transmla.lock"]);
    expect(await readdir(path)).toEqual(["config.json"]);
  });

  it("discards what was written and made when it fails", async () => {
    const folder = await temporaryFolder();
    const path = join(folder, "a", "b");
    const attempt = withOutput(path, names, async () => {
      await writeFile(join(path, "config.json"), "{}");
      await failing();
    });
    await expect(attempt).rejects.toThrow("stop");
    expect(await readdir(folder)).toEqual([]);
  });

  it("discards nothing that was there before or came from elsewhere", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "a"));
    const attempt = withOutput(join(folder, "a", "b", "c"), names, async () => {
      await writeFile(join(folder, "a", "b", "theirs.txt"), "");
      await failing();
    });
    await expect(attempt).rejects.toThrow("stop");
    expect(await readdir(join(folder, "a", "b"))).toEqual(["theirs.txt"]);
  });

  it("lets one process in at a time and takes over from one that died", async () => {
    const folder = await temporaryFolder();
    const busy = await withOutput(folder, names, () =>
      withOutput(folder, names, async () => "twice").catch((error: { code: string }) => error.code),
    );
    expect(busy).toBe("OutputBusy");
    const dead = spawnSync(process.execPath, ["--eval", ""]).pid;
    await writeFile(join(folder, ".transmla.lock"), `${dead}\n`);
    expect(await withOutput(folder, names, async () => "mine")).toBe("mine");
    expect(await readdir(folder)).toEqual([]);
  });

  it("leaves alone what another process finished in the meantime", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "config.json"), "theirs");
    const attempt = withOutput(folder, names, async () => undefined);
    await expect(attempt).rejects.toMatchObject({ code: "OutputExists" });
    expect(await readdir(folder)).toEqual(["config.json"]);
  });

  it("names a folder that cannot be made", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "file"), "");
    await expect(withOutput(join(folder, "file", "out"), names, failing)).rejects.toMatchObject({
      code: "OutputUnusable",
      message: expect.stringContaining("file/out cannot be used"),
    });
  });
});
