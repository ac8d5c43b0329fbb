import {
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  statfs,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import type { CommandContext } from "../command";
import { CliError } from "../errors";
import { bytes } from "../terminal/format";
import { downloadFile } from "./download-file";
import {
  fileUrl,
  hubHeaders,
  listRepository,
  refusal,
  type HubFile,
  type HubListing,
} from "./hub-api";
import type { HubId } from "./hub-id";
import { hubSettings, type HubSettings } from "./hub-settings";

/** Files of a repository that a model is read from, besides its weights. */
const companions =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$|^(merges\.txt|tokenizer\.model|chat_template\.jinja)$/;

/** What is wanted of a repository: the whole model, or its config alone. */
export type Wanted = "model" | "config";

/**
 * The path of a hub repository's model in the hub's cache (laid out as `huggingface_hub` does, so that both share their
 * downloads): the folder of a snapshot, or the only GGUF file in it. Downloads what is wanted and missing.
 *
 * @throws CliError `HubNotFound`, `HubUnreachable`, `HubNoModel`, `HubHashMismatch`, `DiskFull`, `OutputUnusable`
 */
export async function hubModelPath(
  context: CommandContext,
  id: HubId,
  wanted: Wanted = "model",
): Promise<string> {
  const settings = hubSettings(context.env);
  const root = join(settings.cache, `models--${id.repository.replaceAll("/", "--")}`);
  const listing = await listingOrCached(context, settings, { root, id, wanted });
  if (typeof listing === "string") return modelIn(listing, id);
  const files = wanted === "model" ? chooseFiles(listing, id) : configOnly(listing, id);
  const snapshot = join(root, "snapshots", listing.commit);
  await checkSpace(root, settings, files);
  await downloadAll(context, settings, id, { root, snapshot, commit: listing.commit, files });
  return modelIn(snapshot, id);
}

/** What the hub has, or the snapshot of an earlier download when the hub is not to be, or cannot be, asked. */
async function listingOrCached(
  { terminal, signal }: CommandContext,
  settings: HubSettings,
  { root, id, wanted }: { readonly root: string; readonly id: HubId; readonly wanted: Wanted },
): Promise<HubListing | string> {
  const cached = await cachedSnapshot(root, id.revision, wanted);
  if (settings.offline) {
    if (cached !== undefined) return cached;
    throw new CliError(
      "HubUnreachable",
      `${id.repository} is not in ${settings.cache}, and HF_HUB_OFFLINE forbids to download it.`,
      { repository: id.repository },
    );
  }
  try {
    terminal.working(`asking for ${id.repository}`);
    return await listRepository(settings, id, signal);
  } catch (error) {
    if (!CliError.isInstance(error) || error.code !== "HubUnreachable" || !cached) throw error;
    terminal.warn(`${error.message} Going on with the copy in the cache.`);
    return cached;
  }
}

/** The snapshot of a revision that was downloaded whole: the reference is written last. */
async function cachedSnapshot(
  root: string,
  revision: string,
  wanted: Wanted,
): Promise<string | undefined> {
  const commit = await readFile(join(root, "refs", revision), "utf8").catch(() => revision);
  const path = join(root, "snapshots", commit.trim());
  const names = await readdir(path).catch((): string[] => []);
  const there = wanted === "config" && names.includes(CONFIG);
  return there || names.some(isWeights) ? path : undefined;
}

const CONFIG = "config.json";

const isWeights = (name: string) => /\.(safetensors|gguf)$/.test(name);

/** Safetensors with what belongs to them, or the only GGUF file. */
function chooseFiles({ files }: HubListing, { repository }: HubId): readonly HubFile[] {
  const shards = files.filter(({ name }) => /^model.*\.safetensors(\.index\.json)?$/.test(name));
  if (shards.length > 0) return [...files.filter(({ name }) => companions.test(name)), ...shards];
  const gguf = files.filter(({ name }) => name.endsWith(".gguf"));
  if (gguf.length === 1) return gguf;
  const found =
    gguf.length === 0
      ? "neither model*.safetensors nor a .gguf file"
      : `${gguf.length} GGUF files; download one of them and give its path`;
  throw new CliError("HubNoModel", `${repository} has ${found}.`, {
    repository,
    files: gguf.map(({ name }) => name),
  });
}

function configOnly({ files }: HubListing, { repository }: HubId): readonly HubFile[] {
  const config = files.filter(({ name }) => name === CONFIG);
  if (config.length > 0) return config;
  throw new CliError("HubNoModel", `${repository} has no ${CONFIG}.`, { repository });
}

async function checkSpace(
  root: string,
  { cache }: HubSettings,
  files: readonly HubFile[],
): Promise<void> {
  const missing = await Promise.all(
    files.map(({ size, hash }) =>
      stat(join(root, "blobs", hash.hex)).then(
        () => 0,
        () => size,
      ),
    ),
  );
  const needed = missing.reduce((sum, size) => sum + size, 0);
  await mkdir(root, { recursive: true });
  const { bavail, bsize } = await statfs(root);
  if (needed <= bavail * bsize) return;
  throw new CliError(
    "DiskFull",
    `The model takes ${bytes(needed)} more, ${cache} has ${bytes(bavail * bsize)} left; set HF_HUB_CACHE to another disk.`,
    { needed, available: bavail * bsize, cache },
  );
}

interface Snapshot {
  readonly root: string;
  readonly snapshot: string;
  readonly commit: string;
  readonly files: readonly HubFile[];
}

async function downloadAll(
  { terminal, signal }: CommandContext,
  settings: HubSettings,
  id: HubId,
  { root, snapshot, commit, files }: Snapshot,
): Promise<void> {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const report = terminal.progressOf(`downloading ${id.repository}`);
  let before = 0;
  await mkdir(snapshot, { recursive: true });
  for (const file of files) {
    const url = fileUrl(settings, id, commit, file.name);
    await downloadFile({
      url,
      headers: hubHeaders(settings),
      file,
      path: join(root, "blobs", file.hash.hex),
      signal,
      onBytes: (have) => report({ done: before + have, total, unit: "bytes" }),
      refusal: (status) => refusal(status, id, url),
    });
    before += file.size;
    await link(join("..", "..", "blobs", file.hash.hex), join(snapshot, file.name));
  }
  const reference = join(root, "refs", id.revision);
  await mkdir(join(reference, ".."), { recursive: true });
  await writeFile(reference, commit);
}

async function link(target: string, path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found) await rm(path);
  await symlink(target, path);
}

async function modelIn(snapshot: string, { repository }: HubId): Promise<string> {
  const names = await readdir(snapshot);
  if (names.includes(CONFIG)) return snapshot;
  const gguf = names.find((name) => name.endsWith(".gguf"));
  if (gguf !== undefined) return join(snapshot, gguf);
  throw new CliError("HubNoModel", `${repository} has no config.json.`, { repository });
}
