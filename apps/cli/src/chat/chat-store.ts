import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { ChatMessage, ConversationState } from "@transmla/generation";
import { CliError } from "../errors";
import { isRunning } from "../output-folder";

/** A conversation as it is kept: words for people, tokens for the cache. */
export interface KeptChat {
  readonly messages: readonly ChatMessage[];
  readonly state: ConversationState;
}

const version = 1;

/** A folder that keeps one conversation: `chat.json`, and beside it the cache as `cache.safetensors`. */
export class ChatStore {
  /** `name` may be anything: it is made into the name of a folder. */
  constructor(
    env: Readonly<Record<string, string | undefined>>,
    name: string,
    readonly folder = join(stateFolder(env), "chats", encodeURIComponent(name)),
  ) {}

  /**
   * The conversation as it was left; undefined without one.
   * @throws CliError `ChatUnreadable`
   */
  async read(): Promise<KeptChat | undefined> {
    const text = await readFile(this.chatPath, "utf8").catch(ifThere);
    if (text === undefined) return undefined;
    try {
      return checked(JSON.parse(text));
    } catch (cause) {
      throw new CliError(
        "ChatUnreadable",
        `${this.chatPath} is not a conversation that this program kept. Give --new to begin anew in its place.`,
        { path: this.chatPath },
        { cause },
      );
    }
  }

  /** The cache as it was left; undefined without one. */
  readCache(): Promise<Uint8Array | undefined> {
    return readFile(this.cachePath).catch(ifThere);
  }

  async write({ messages, state }: KeptChat): Promise<void> {
    const text = JSON.stringify({ version, messages, state }, null, 1);
    await this.replace(this.chatPath, new TextEncoder().encode(`${text}\n`));
  }

  async writeCache(bytes: Uint8Array): Promise<void> {
    await this.replace(this.cachePath, bytes);
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  private get chatPath(): string {
    return join(this.folder, "chat.json");
  }

  private get cachePath(): string {
    return join(this.folder, "cache.safetensors");
  }

  /** What a conversation says is for its owner alone. */
  private async replace(path: string, bytes: Uint8Array): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    await this.removeLeftOvers();
    const temporary = `${path}.${process.pid}.tmp`;
    const handle = await open(temporary, "w", 0o600);
    try {
      await handle.writeFile(bytes);
      // A name must not outlive a power cut without the bytes it stands for.
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  }

  /** What killed processes were writing. */
  private async removeLeftOvers(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      const writer = /\.(\d+)\.tmp$/.exec(name)?.[1];
      if (writer === undefined || isRunning(Number(writer))) continue;
      await rm(join(this.folder, name), { force: true });
    }
  }
}

/** Where programs keep what should outlive them (XDG base directories; `LOCALAPPDATA` on Windows). */
function stateFolder(env: Readonly<Record<string, string | undefined>>): string {
  const base = env["XDG_STATE_HOME"] ?? env["LOCALAPPDATA"] ?? join(homedir(), ".local", "state");
  return join(base, "transmla");
}

function ifThere(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined;
  throw error;
}

function checked(value: unknown): KeptChat {
  const { version: found, messages, state } = value as Partial<Record<string, unknown>>;
  const { tokens, rendered } = (state ?? {}) as Partial<Record<string, unknown>>;
  const isMessage = (message: unknown) =>
    typeof (message as ChatMessage).role === "string" &&
    typeof (message as ChatMessage).content === "string";
  const isRight =
    found === version &&
    Array.isArray(messages) &&
    messages.every(isMessage) &&
    Array.isArray(tokens) &&
    tokens.every((token) => Number.isSafeInteger(token) && Number(token) >= 0) &&
    typeof rendered === "string";
  if (!isRight) throw new Error("a part is missing");
  return { messages: messages as ChatMessage[], state: { tokens: tokens as number[], rendered } };
}
