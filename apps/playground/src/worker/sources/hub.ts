import { blobSource, fileListFolder, type ByteSource, type ModelFolder } from "@transmla/tensor-io";
import { PlaygroundError } from "../failure";
import type { Progress, Running } from "../operation";

const HUB = "https://huggingface.co";

/** Files that a model is read from, besides its weights. */
const companions =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$|^(merges\.txt|chat_template\.jinja)$/;

interface HubFile {
  readonly name: string;
  readonly size: number;
}

/**
 * Downloads a repository's model (`org/name`, `org/name@revision`) as blobs, which browsers keep on the disk where they are large.
 *
 * @throws PlaygroundError `HubId`, `HubUnreachable`, `HubNoModel`; the signal's reason
 */
export async function downloadHubModel(
  id: string,
  running: Running<Progress>,
): Promise<ModelFolder | ByteSource> {
  const { repository, revision } = parseHubId(id);
  const listing = await answerOf(
    `${HUB}/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`,
    repository,
    running.signal,
  );
  const chosen = chooseFiles(filesOf(await listing.json()), repository);
  const total = chosen.reduce((sum, { size }) => sum + size, 0);
  const files: File[] = [];
  let done = 0;
  for (const { name } of chosen) {
    const url = `${HUB}/${repository}/resolve/${encodeURIComponent(revision)}/${encodeURIComponent(name)}`;
    const response = await answerOf(url, repository, running.signal);
    const parts = await partsOf(response, (bytes) => {
      done += bytes;
      const label = `Downloading ${id}`;
      running.emit({ label, done, total: Math.max(total, done), unit: "bytes" });
    });
    files.push(new File(parts, name));
  }
  return files.length === 1 ? blobSource(files[0]!) : fileListFolder(files, id);
}

/** The body of a response in the pieces that come. Safari's streams cannot be iterated. */
async function partsOf(response: Response, onBytes: (count: number) => void): Promise<BlobPart[]> {
  const reader = response.body!.getReader();
  const parts: BlobPart[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return parts;
    parts.push(value);
    onBytes(value.byteLength);
  }
}

function parseHubId(text: string): { repository: string; revision: string } {
  const match = /^([\w-][\w.-]*\/[\w-][\w.-]*)(?:@([\w-][\w./-]*))?$/.exec(text.trim());
  if (match === null || text.includes("..")) {
    throw new PlaygroundError("HubId", `${JSON.stringify(text)} is not a hub id such as org/name.`);
  }
  return { repository: match[1]!, revision: match[2] ?? "main" };
}

async function answerOf(url: string, repository: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (cause) {
    signal.throwIfAborted();
    const message = "huggingface.co cannot be reached; try again, or open a folder or a GGUF file.";
    throw new PlaygroundError("HubUnreachable", message, { cause });
  }
  if (response.ok) return response;
  const reasons: Readonly<Record<number, string>> = {
    401: "is not there, or not open to everybody: download it yourself and open the folder",
    403: "is not open to everybody: download it yourself and open the folder",
    404: "was not found at this revision",
  };
  const reason = reasons[response.status] ?? `cannot be read (${response.status}); try again`;
  throw new PlaygroundError("HubUnreachable", `${repository} ${reason}.`);
}

/** Files at the top of a repository; those in folders are passed over. */
function filesOf(listing: unknown): HubFile[] {
  const { siblings } = (listing ?? {}) as { siblings?: unknown };
  if (!Array.isArray(siblings)) return [];
  return siblings.flatMap((entry: { rfilename?: unknown; size?: unknown }) =>
    typeof entry?.rfilename === "string" && !entry.rfilename.includes("/")
      ? [{ name: entry.rfilename, size: Number(entry.size) || 0 }]
      : [],
  );
}

/** Safetensors with what belongs to them, or the only GGUF file. */
function chooseFiles(files: readonly HubFile[], repository: string): readonly HubFile[] {
  const weights = files.filter(({ name }) => /^model.*\.safetensors(\.index\.json)?$/.test(name));
  if (weights.length > 0) return [...files.filter(({ name }) => companions.test(name)), ...weights];
  const gguf = files.filter(({ name }) => name.endsWith(".gguf"));
  if (gguf.length === 1) return gguf;
  const found =
    gguf.length === 0
      ? "neither model*.safetensors nor a .gguf file"
      : `${gguf.length} GGUF files: download one of them and open it`;
  throw new PlaygroundError("HubNoModel", `${repository} has ${found}.`);
}
