import { bytesPerToken } from "@transmla/latent-cache";
import type { TextModel } from "../text-model";
import { bytes, count } from "../terminal/format";
import type { ChatSession } from "./chat-session";

/** What a command of the conversation works with. */
export interface ChatContext {
  readonly session: ChatSession;
  readonly loaded: TextModel;
  print(...lines: readonly string[]): void;
}

export interface ChatCommand {
  readonly summary: string;
  /** True ends the conversation. */
  run(context: ChatContext): boolean | Promise<boolean>;
}

/** Commands by what is typed. A new one is one entry. */
export const chatCommands: Readonly<Record<string, ChatCommand>> = {
  "/help": {
    summary: "what can be typed",
    run: ({ print }) => {
      const width = Math.max(...Object.keys(chatCommands).map((name) => name.length));
      print(
        ...Object.entries(chatCommands).map(
          ([name, { summary }]) => `${name.padEnd(width)}  ${summary}`,
        ),
        `${"\\".padEnd(width)}  at the end of a line continues the message on the next one`,
        `${"Ctrl-C".padEnd(width)}  stops an answer; Ctrl-D leaves`,
      );
      return false;
    },
  },
  "/stats": {
    summary: "the conversation's cache, beside what grouped-query attention would need",
    run: ({ print, session, loaded }) => {
      print(...statistics(session, loaded));
      return false;
    },
  },
  "/clear": {
    summary: "forget the conversation and begin anew",
    run: ({ print, session }) => {
      session.clear();
      print("A new conversation.");
      return false;
    },
  },
  "/exit": { summary: "leave; the conversation is kept", run: () => true },
};

/** Bytes that a conversation of so many tokens takes, in this model and with keys and values for every head that has its own. */
export function cacheSizes({ model, engine }: TextModel, tokens: number) {
  const { layers } = model.config;
  const grouped = layers.map(({ attention }) => {
    const isGrouped = attention.kind === "gqa";
    const heads = isGrouped ? attention.kvHeads : attention.valueUpHeads;
    const width = heads * (isGrouped ? attention.headDim : attention.valueDim);
    return [
      { name: "keys", width },
      { name: "values", width },
    ];
  });
  return {
    cacheBytes: tokens * engine.cache.bytesPerToken,
    groupedCacheBytes: tokens * bytesPerToken(grouped, engine.cache.storage),
  };
}

function statistics(session: ChatSession, loaded: TextModel): string[] {
  const tokens = session.kept.state.tokens.length;
  const { cacheBytes, groupedCacheBytes } = cacheSizes(loaded, tokens);
  const isLatent = loaded.model.config.layers.some(({ attention }) => attention.kind === "mla");
  const times = (groupedCacheBytes / Math.max(1, cacheBytes)).toFixed(1);
  const { capacityTokens } = loaded.engine.load;
  const engineBytes = bytes(capacityTokens * loaded.engine.cache.bytesPerToken);
  const cache = isLatent
    ? [
        `cache          ${bytes(cacheBytes)} of latents`,
        `with GQA       ${bytes(groupedCacheBytes)}, ${times} times as much`,
      ]
    : [`cache          ${bytes(cacheBytes)} of keys and values (GQA)`];
  return [
    `conversation   ${count(session.length)} messages, ${count(tokens)} of ${count(loaded.contextTokens)} tokens`,
    ...cache,
    `engine         room for ${count(capacityTokens)} tokens in ${engineBytes}`,
  ];
}
