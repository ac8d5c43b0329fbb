import { streamText, type GenerationSummary } from "@transmla/generation";
import { defineCommand } from "../command";
import { integer, text, withDefault } from "../flags";
import { load, tokenizerOf, withModel } from "../model-location";
import { samplingFlags } from "../sampling-flags";
import { bytes, count, printable, rate } from "../terminal/format";

export const generateCommand = defineCommand({
  name: "generate",
  summary: "continue a prompt",
  arguments: [{ name: "model", description: "folder, .gguf file, hub id or sample" }],
  flags: {
    prompt: { ...withDefault("--prompt <text>", "what to continue", text, ""), mandatory: true },
    maxTokens: withDefault("--max-tokens <n>", "tokens to make at most", integer(1), 128),
    ...samplingFlags,
  },
  examples: [
    ['transmla generate sample --prompt "ROMEO:"', "the likeliest continuation"],
    [
      'transmla generate ./mla --prompt "Once" --temperature 0.8 --top-p 0.95 --seed 1',
      "a random one that can be repeated",
    ],
  ],
  action: (context, [name = ""], { prompt, ...options }) =>
    withModel(context, name, async (model) => {
      const { terminal, signal } = context;
      const tokenizer = await tokenizerOf(model);
      const cacheTokens = Math.min(
        model.files.config.maxPositions,
        tokenizer.encode(prompt).length + options.maxTokens,
      );
      const loaded = await load(model, await context.device(), context, cacheTokens);
      const stream = streamText(loaded, tokenizer, { prompt, ...options, signal });
      terminal.write(terminal.colour.dim(printable(prompt)));
      let generated = "";
      const tokens: number[] = [];
      try {
        for await (const piece of stream) {
          generated += piece.text;
          if (piece.tokenId !== undefined) tokens.push(piece.tokenId);
          terminal.write(printable(piece.text));
        }
      } finally {
        terminal.print("");
      }
      const { summary } = stream;
      terminal.note(statistics(summary));
      return {
        text: generated,
        tokens,
        promptTokens: summary.promptTokens,
        finishReason: summary.finishReason,
        seconds: summary.prefillSeconds + summary.decodeSeconds,
        tokensPerSecond: speeds(summary),
        kvCacheBytes: summary.kvCacheBytes,
      };
    }),
});

/** Tokens per second of the prompt and of the tokens after the first; null where there were none. */
function speeds({ promptTokens, tokens, prefillSeconds, decodeSeconds }: GenerationSummary) {
  return {
    prefill: promptTokens / prefillSeconds,
    decode: tokens > 1 ? (tokens - 1) / decodeSeconds : null,
  };
}

function statistics(summary: GenerationSummary): string {
  const { prefill, decode } = speeds(summary);
  const ending = summary.finishReason === "length" ? "length reached" : "ended by itself";
  return [
    `${count(summary.promptTokens)} prompt tokens at ${rate(prefill, "tokens")}`,
    `${count(summary.tokens)} tokens${decode === null ? "" : ` at ${rate(decode, "tokens")}`}`,
    `KV cache ${bytes(summary.kvCacheBytes)}`,
    ending,
  ].join(" · ");
}
