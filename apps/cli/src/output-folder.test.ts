import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkOutput, makeOutput } from "./output-folder";
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

describe("makeOutput", () => {
  it("discards what was written and made", async () => {
    const folder = await temporaryFolder();
    const path = join(folder, "a", "b");
    const output = await makeOutput(path, names);
    await writeFile(join(path, "config.json"), "{}");
    await output.discard();
    expect(await readdir(folder)).toEqual([]);
  });

  it("discards nothing that was there before or came from elsewhere", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "a"));
    const output = await makeOutput(join(folder, "a", "b", "c"), names);
    await writeFile(join(folder, "a", "b", "theirs.txt"), "");
    await output.discard();
    expect(await readdir(join(folder, "a", "b"))).toEqual(["theirs.txt"]);
  });

  it("names a folder that cannot be made", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "file"), "");
    await expect(makeOutput(join(folder, "file", "out"), names)).rejects.toMatchObject({
      code: "OutputUnusable",
      message: expect.stringContaining("file/out cannot be made"),
    });
  });
});
