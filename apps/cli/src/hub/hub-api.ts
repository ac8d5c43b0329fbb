import { CliError } from "../errors";
import type { HubId } from "./hub-id";
import type { HubSettings } from "./hub-settings";

/** A file of a repository and how to recognise its content. */
export interface HubFile {
  readonly name: string;
  readonly size: number;
  /** What the hub calls the content: `sha256` of the bytes for large files, git's blob id (`sha1`) for the others. */
  readonly hash: { readonly algorithm: "sha256" | "sha1"; readonly hex: string };
}

/** A revision of a repository. */
export interface HubListing {
  readonly commit: string;
  readonly files: readonly HubFile[];
}

const repositoryPath = (repository: string) =>
  repository.split("/").map(encodeURIComponent).join("/");

/** Where a file of a commit is. */
export function fileUrl(
  { endpoint }: HubSettings,
  id: HubId,
  commit: string,
  name: string,
): string {
  return `${endpoint}/${repositoryPath(id.repository)}/resolve/${commit}/${encodeURIComponent(name)}`;
}

/** Headers of every request. */
export function hubHeaders({ token }: HubSettings): Record<string, string> {
  return { "user-agent": "transmla", ...(token ? { authorization: `Bearer ${token}` } : {}) };
}

/**
 * Files at the top of a repository, with their sizes and hashes.
 *
 * @throws CliError `HubUnreachable`, `HubNotFound`, `HubAnswer`
 */
export async function listRepository(
  settings: HubSettings,
  id: HubId,
  signal: AbortSignal,
): Promise<HubListing> {
  const revision = encodeURIComponent(id.revision);
  const url = `${settings.endpoint}/api/models/${repositoryPath(id.repository)}/revision/${revision}?blobs=true`;
  const response = await hubFetch(url, { headers: hubHeaders(settings), signal });
  if (!response.ok) throw refusal(response.status, id, url);
  const body = (await response.json().catch(() => undefined)) as unknown;
  const { sha, siblings } = (body ?? {}) as { sha?: unknown; siblings?: unknown };
  if (typeof sha !== "string" || !/^[0-9a-f]{40}$/.test(sha) || !Array.isArray(siblings)) {
    throw badAnswer(id, "no commit or no list of files");
  }
  return { commit: sha, files: siblings.flatMap((entry) => readFile(entry, id)) };
}

/** Files in folders are passed over: a name is never a path here. */
function readFile(entry: unknown, id: HubId): HubFile[] {
  const { rfilename, size, blobId, lfs } = (entry ?? {}) as Record<string, unknown>;
  if (typeof rfilename !== "string") throw badAnswer(id, "a file without a name");
  if (/[/\\:\0]/.test(rfilename) || rfilename === "" || rfilename.startsWith("..")) return [];
  const large = (lfs ?? undefined) as { sha256?: unknown; size?: unknown } | undefined;
  const algorithm = large ? "sha256" : "sha1";
  const hex = large ? large.sha256 : blobId;
  const bytes = large ? (large.size ?? size) : size;
  const hashed = typeof hex === "string" && (large ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(hex);
  if (!hashed || !Number.isSafeInteger(bytes) || Number(bytes) < 0) {
    throw badAnswer(id, `no size or hash of ${rfilename}`);
  }
  return [{ name: rfilename, size: Number(bytes), hash: { algorithm, hex } }];
}

/** `fetch` whose failures to connect are ours. @throws CliError `HubUnreachable`; the signal's reason */
export async function hubFetch(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (cause) {
    init.signal?.throwIfAborted();
    throw unreachable(url, cause);
  }
}

export function unreachable(url: string, cause: unknown): CliError {
  const { host } = new URL(url);
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const reason = inner instanceof Error ? inner.message : String(inner);
  return new CliError(
    "HubUnreachable",
    `${host} cannot be reached (${reason}); try again, or give a folder or a .gguf file.`,
    { host },
    { cause },
  );
}

export function refusal(status: number, { repository, revision }: HubId, url: string): CliError {
  const context = { repository, revision, status };
  if (status === 401 || status === 403) {
    const advice = "if it exists it needs a token with access to it in HF_TOKEN";
    return new CliError("HubNotFound", `${repository} cannot be read: ${advice}.`, context);
  }
  if (status === 404) {
    const what = `${repository} at revision ${revision}`;
    return new CliError("HubNotFound", `${what} was not found on ${new URL(url).host}.`, context);
  }
  return new CliError(
    "HubUnreachable",
    `${new URL(url).host} answered ${status}; try again.`,
    context,
  );
}

function badAnswer({ repository }: HubId, what: string): CliError {
  return new CliError(
    "HubAnswer",
    `The hub's answer about ${repository} makes no sense: ${what}.`,
    {
      repository,
    },
  );
}
