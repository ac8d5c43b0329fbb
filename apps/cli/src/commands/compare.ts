import { divergence } from "@transmla/evaluation";
import { kvCacheNumbersPerToken } from "@transmla/models";
import { defineCommand } from "../command";
import { CliError } from "../errors";
import { load, shortName, tokenizerOf, withModel, type LocatedModel } from "../model-location";
import { count, duration, percent } from "../terminal/format";
import { properties } from "../terminal/table";
import type { Terminal } from "../terminal/terminal";
import { textFor, tokensOf } from "../text";
import { windowOf } from "../window";
import { textFlags } from "./evaluate";

export const compareCommand = defineCommand({
  name: "compare",
  summary: "measure how far one model is from another on a text",
  arguments: [
    { name: "a", description: "the original: folder, .gguf file or sample" },
    { name: "b", description: "the other: folder, .gguf file or sample" },
  ],
  flags: textFlags,
  examples: [
    ["transmla compare sample ./sample-mla", "on the held-out text of the sample model"],
    ["transmla compare ./model ./mla --text book.txt", "on a text of yours"],
  ],
  action: (context, [nameA = "", nameB = ""], { text: file, context: wanted, maxTokens }) =>
    withModel(context, nameA, (a) =>
      withModel(context, nameB, async (b) => {
        const { terminal, signal } = context;
        const window = windowOf(wanted, [a.files.config, b.files.config]);
        const text = await textFor("evaluation", file, b.isSample ? b : a, signal);
        terminal.working("reading the text");
        const tokens = await commonTokens(text, a, b);
        const device = await context.device();
        const modelA = await load(a, device, context, window);
        const modelB = await load(b, device, context, window);
        const result = await divergence(modelA, modelB, tokens, {
          context: window,
          maxTokens,
          signal,
          onProgress: terminal.progressOf(`comparing with ${shortName(nameB)}`),
        });
        printComparison(terminal, [a, b], result, window);
        return { ...result, context: window };
      }),
    ),
});

/** The tokens of a text, which both models must agree on. */
async function commonTokens(text: string, a: LocatedModel, b: LocatedModel): Promise<Int32Array> {
  const tokensA = tokensOf(text, await tokenizerOf(a), 2);
  const tokensB = (await tokenizerOf(b)).encode(text);
  const at = tokensA.findIndex((token, index) => token !== tokensB[index]);
  if (at < 0 && tokensA.length === tokensB.length) return tokensA;
  throw new CliError(
    "TokenizerMismatch",
    `${a.name} and ${b.name} split the text into different tokens; only models with the same tokenizer can be compared.`,
    { a: a.name, b: b.name, tokensA: tokensA.length, tokensB: tokensB.length },
  );
}

function printComparison(
  terminal: Terminal,
  [a, b]: readonly [LocatedModel, LocatedModel],
  result: Awaited<ReturnType<typeof divergence>>,
  window: number,
): void {
  const { bold, dim } = terminal.colour;
  const [cacheA, cacheB] = [a, b].map(({ files }) => kvCacheNumbersPerToken(files.config));
  terminal.print(
    bold(`${a.name} → ${b.name}`),
    ...properties(
      [
        ["perplexity", `${result.perplexityA.toFixed(3)} → ${result.perplexityB.toFixed(3)}`],
        ["divergence", `${significant(result.meanKl)} nats per token, mean KL`],
        ["same top token", percent(result.topAgreement, 2)],
        ["largest logit difference", significant(result.maxLogitDifference)],
        ["KV cache", `${count(cacheA ?? 0)} → ${count(cacheB ?? 0)} numbers per token`],
        [
          "measured",
          `${count(result.tokens)} tokens in windows of ${window}, ${duration(result.seconds)}`,
        ],
      ],
      dim,
    ),
  );
}

/** Three digits that count: differences range over many orders. */
const significant = (value: number) => String(Number(value.toPrecision(3)));
