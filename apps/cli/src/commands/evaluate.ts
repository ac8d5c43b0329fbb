import { perplexity } from "@transmla/evaluation";
import { kvCacheNumbersPerToken } from "@transmla/models";
import { defineCommand } from "../command";
import { filled, integer, optional } from "../flags";
import { load, shortName, tokenizerOf, withModel } from "../model-location";
import { count, duration, rate } from "../terminal/format";
import { properties } from "../terminal/table";
import { textFor, tokensOf } from "../text";
import { windowOf } from "../window";

/** Flags of every command that measures on a text. */
export const textFlags = {
  text: optional(
    "--text <file>",
    "UTF-8 text, or sample for the one that comes with the sample model",
    filled,
  ),
  context: optional(
    "--context <n>",
    "tokens per window (default: 512, or all the model can see)",
    integer(2),
  ),
  maxTokens: optional("--max-tokens <n>", "only the first tokens of the text", integer(2)),
};

export const evaluateCommand = defineCommand({
  name: "evaluate",
  summary: "measure the perplexity of a model on a text",
  arguments: [{ name: "model", description: "folder, .gguf file, hub id or sample" }],
  flags: textFlags,
  examples: [
    ["transmla evaluate sample", "the sample model on its own held-out text"],
    ["transmla evaluate ./mla --text book.txt --max-tokens 20000", "a model of yours"],
  ],
  action: (context, [name = ""], { text: file, context: wanted, maxTokens }) =>
    withModel(context, name, async (model) => {
      const { terminal, signal } = context;
      const window = windowOf(wanted, [model.files.config]);
      const text = await textFor("evaluation", file, model, signal);
      terminal.working("reading the text");
      const tokens = tokensOf(text, await tokenizerOf(model), 2);
      const loaded = await load(model, await context.device(), context, window);
      const result = await perplexity(loaded, tokens, {
        context: window,
        maxTokens,
        signal,
        onProgress: terminal.progressOf(`evaluating ${shortName(name)}`),
      });
      const cache = kvCacheNumbersPerToken(loaded.config);
      const { bold, dim } = terminal.colour;
      terminal.print(
        bold(name),
        ...properties(
          [
            ["perplexity", bold(result.perplexity.toFixed(3))],
            ["nll", `${result.nll.toFixed(4)} nats per token`],
            ["tokens", `${count(result.tokens)} predicted, in windows of ${window}`],
            ["KV cache", `${count(cache)} numbers per token`],
            ["time", `${duration(result.seconds)} (${rate(result.tokensPerSecond, "tokens")})`],
          ],
          dim,
        ),
      );
      return { ...result, context: window, kvCacheNumbersPerToken: cache };
    }),
});
