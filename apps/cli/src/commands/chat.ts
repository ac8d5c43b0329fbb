import { ChatLoop } from "../chat/chat-loop";
import { ChatSession, type Turn } from "../chat/chat-session";
import { cacheSizes } from "../chat/chat-commands";
import { ChatStore } from "../chat/chat-store";
import { defineCommand, type CommandContext } from "../command";
import { describeFailure } from "../errors";
import { byteCount, filled, integer, optional, text, toggle, withDefault } from "../flags";
import { shortName, withModel } from "../model-location";
import { samplingFlags } from "../sampling-flags";
import { loadTextModel, type TextModel } from "../text-model";

export const chatCommand = defineCommand({
  name: "chat",
  summary: "have a conversation, kept from one time to the next",
  arguments: [{ name: "model", description: "folder, .gguf file, hub id or sample" }],
  flags: {
    system: optional(
      "--system <text>",
      "what the model is told first, in a new conversation",
      text,
    ),
    ...samplingFlags,
    maxTokens: withDefault("--max-tokens <n>", "tokens of an answer at most", integer(1), 512),
    chat: optional("--chat <name>", "which conversation (default: one for each model)", filled),
    new: toggle("--new", "begin anew, in place of the one that was kept"),
    cacheBytes: optional(
      "--cache-bytes <size>",
      "memory of the cache, such as 500MB (default: eight contexts, 512MB at most)",
      byteCount,
    ),
  },
  examples: [
    ["transmla chat ./smollm2-mla", "talk; the next time it goes on from there"],
    ['transmla chat ./mla --system "Answer in rhymes." --temperature 0.8 --new', "another one"],
    ["transmla chat sample --chat play", "with a name of its own"],
  ],
  action: (context, [model = ""], flags) =>
    withModel(context, model, async ({ files, name }) => {
      const { terminal, storage, signal } = context;
      const label = `loading ${shortName(name)}`;
      terminal.working(label);
      const { cacheBytes } = flags;
      const onProgress = terminal.progressOf(label);
      const options = { storage, cacheBytes, onProgress, signal };
      const loaded = await loadTextModel(files, await context.device(), options);
      const store = new ChatStore(context.env, flags.chat ?? name);
      if (flags.new) await store.remove();
      try {
        const session = new ChatSession(loaded, flags.system, await store.read());
        if (session.length > 0) await restore(context, loaded, store);
        const turns = await new ChatLoop(context, loaded, session, store, flags).run();
        await keepCache(loaded, store, session);
        return summary(loaded, session, store, turns);
      } finally {
        await loaded.close();
      }
    }),
});

/** Takes in the cache of last time; without it the conversation is read again, which takes longer and changes nothing. */
async function restore(
  context: CommandContext,
  loaded: TextModel,
  store: ChatStore,
): Promise<void> {
  const snapshot = await store.readCache();
  if (!snapshot) return;
  try {
    await loaded.engine.restore(snapshot);
  } catch (error) {
    const { message } = describeFailure(error);
    context.terminal.warn(`the kept cache is not used, the conversation is read again: ${message}`);
  }
}

/** Keeps what the cache holds of the conversation. */
async function keepCache(loaded: TextModel, store: ChatStore, session: ChatSession): Promise<void> {
  const { tokens } = session.kept.state;
  if (session.length === 0) return store.remove();
  await store.write(session.kept);
  await store.writeCache(await loaded.engine.save(Int32Array.from(tokens)));
}

function summary(
  loaded: TextModel,
  session: ChatSession,
  store: ChatStore,
  turns: readonly Turn[],
) {
  const { messages, state } = session.kept;
  const tokens = state.tokens.length;
  return { messages, turns, tokens, ...cacheSizes(loaded, tokens), kept: store.folder };
}
