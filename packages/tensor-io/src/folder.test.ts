import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fileListFolder, memoryFolder, type ModelFolder, type WritableFolder } from "./folder";
import { folder } from "./folder-node";
import { expectCode, temporaryFolder } from "./test-support";

const bytes = Uint8Array.of(1, 2, 3);

const makers: [string, () => Promise<ModelFolder>][] = [
  [
    "memoryFolder",
    async () =>
      memoryFolder(
        new Map([
          ["b", bytes],
          ["a", bytes],
        ]),
      ),
  ],
  ["fileListFolder", async () => fileListFolder([new File([bytes], "b"), new File([bytes], "a")])],
  [
    "folder",
    async () => {
      const path = await temporaryFolder();
      await Promise.all([writeFile(join(path, "b"), bytes), writeFile(join(path, "a"), bytes)]);
      await mkdir(join(path, "inner"));
      return folder(path);
    },
  ],
];

describe.each(makers)("%s", (_, make) => {
  test("lists, finds and opens", async () => {
    const files = await make();
    expect(await files.list()).toEqual(["a", "b"]);
    expect([await files.has("a"), await files.has("c")]).toEqual([true, false]);
    const source = await files.open("a");
    expect([source.name, await source.read(0, 3)]).toEqual(["a", bytes]);
    await source.close();
  });

  test("FileNotFound", async () => {
    const files = await make();
    await expectCode("FileNotFound", () => files.open("c"));
  });

  test.each(["", ".", "..", "../a", "/a", "a/b", "..\\a", "a\0", "C:a"])(
    "InvalidFileName: %j",
    async (name) => {
      const files = await make();
      await expectCode("InvalidFileName", () => files.open(name));
      await expectCode("InvalidFileName", () => files.has(name));
    },
  );
});

describe.each<[string, () => Promise<WritableFolder>]>([
  ["memoryFolder", async () => memoryFolder()],
  ["folder", async () => folder(join(await temporaryFolder(), "new"))],
])("writing into %s", (_, make) => {
  test("a file is there after commit, replaces an older one and can be removed", async () => {
    const files = await make();
    for (const content of [bytes, Uint8Array.of(9)]) {
      const sink = files.create("f");
      // Out of order, with a gap that is filled later.
      for (let i = content.length - 1; i >= 0; i--) await sink.write(i, content.subarray(i, i + 1));
      await sink.commit();
      const source = await files.open("f");
      expect(await source.read(0, source.size)).toEqual(content);
      await source.close();
    }
    await files.remove("f");
    await files.remove("f");
    expect(await files.list()).toEqual([]);
  });

  test("nothing after abort; a name with a separator is refused", async () => {
    const files = await make();
    const sink = files.create("f");
    await sink.write(0, bytes);
    await sink.abort();
    await sink.abort();
    expect(await files.list()).toEqual([]);
    await expectCode("SinkClosed", () => sink.write(0, bytes));
    await expectCode("InvalidFileName", () => files.create("../f"));
    await expectCode("InvalidFileName", () => files.remove("../f"));
  });
});

async function hubCache() {
  const root = await temporaryFolder();
  const [blobs, snapshot] = [
    join(root, "models--a--b", "blobs"),
    join(root, "models--a--b", "snapshots", "rev"),
  ];
  const foreign = join(root, "models--c--d", "blobs");
  await Promise.all([blobs, snapshot, foreign].map((path) => mkdir(path, { recursive: true })));
  await Promise.all([
    writeFile(join(blobs, "hash"), bytes),
    writeFile(join(foreign, "hash"), bytes),
  ]);
  await writeFile(join(root, "secret"), bytes);
  return { root, snapshot, files: folder(snapshot) };
}

describe.skipIf(process.platform === "win32")("links", () => {
  test("the layout of the Hugging Face cache loads", async () => {
    const { snapshot, files } = await hubCache();
    await symlink("../../blobs/hash", join(snapshot, "model.safetensors"));
    expect(await files.list()).toEqual(["model.safetensors"]);
    const source = await files.open("model.safetensors");
    expect([source.name, await source.read(0, 3)]).toEqual(["model.safetensors", bytes]);
    await source.close();
  });

  test("OutsideFolder: anything else that leaves the folder", async () => {
    const { root, snapshot, files } = await hubCache();
    for (const target of [
      "../../../secret",
      "../../../models--c--d/blobs/hash",
      join(root, "secret"),
    ]) {
      const name = `link${(await readdir(snapshot)).length}`;
      await symlink(target, join(snapshot, name));
      const error = await expectCode("OutsideFolder", () => files.open(name));
      expect(error.message).toContain(name);
    }
  });

  test("blobs count only next to snapshots", async () => {
    const root = await temporaryFolder();
    await Promise.all([
      mkdir(join(root, "blobs")),
      mkdir(join(root, "models", "rev"), { recursive: true }),
    ]);
    await writeFile(join(root, "blobs", "hash"), bytes);
    await symlink("../../blobs/hash", join(root, "models", "rev", "f"));
    await expectCode("OutsideFolder", () => folder(join(root, "models", "rev")).open("f"));
  });

  test("links inside the folder, and a folder that is a link", async () => {
    const root = await temporaryFolder();
    await mkdir(join(root, "real"));
    await writeFile(join(root, "real", "a"), bytes);
    await symlink("a", join(root, "real", "b"));
    await symlink("real", join(root, "alias"));
    const source = await folder(join(root, "alias")).open("b");
    expect(await source.read(0, 3)).toEqual(bytes);
    await source.close();
  });

  test("a broken link and a loop", async () => {
    const root = await temporaryFolder();
    await symlink("nowhere", join(root, "broken"));
    await symlink("loop", join(root, "loop"));
    await expectCode("FileNotFound", () => folder(root).open("broken"));
    await expectCode("SourceOpenFailed", () => folder(root).open("loop"));
  });
});

test("SourceOpenFailed: listing a folder that does not exist; NotAFile: opening a folder", async () => {
  const root = await temporaryFolder();
  await expectCode("SourceOpenFailed", () => folder(join(root, "none")).list());
  await mkdir(join(root, "inner"));
  await expectCode("NotAFile", () => folder(root).open("inner"));
});
