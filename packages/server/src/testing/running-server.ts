import { onTestFinished } from "vitest";
import { openaiHandler, type HandlerOptions, type OpenAiHandler } from "../handler";
import { listen, type Listening, type ListenOptions } from "../node/listen";
import { workerService, type WorkerService } from "../node/worker-service";
import type { TextAnswer, TextService } from "../service";

export const workerModule = new URL("./sample-worker.mjs", import.meta.url);

export interface RunningServer extends Listening {
  readonly handler: OpenAiHandler;
}

/** A server for a service, gone after the test. */
export async function runningServer(
  service: TextService,
  options: HandlerOptions & ListenOptions = {},
): Promise<RunningServer> {
  const handler = openaiHandler(service, options);
  const listening = await listen(handler, options);
  onTestFinished(async () => void (await listening.close(0)));
  return Object.assign(listening, { handler });
}

/** The embedded model in a worker, gone after the test. */
export async function sampleWorker(data: object = {}): Promise<WorkerService> {
  const service = await workerService(workerModule, { data });
  onTestFinished(() => service.close());
  return service;
}

/** A value of `/metrics`. */
export async function metric(url: string, name: string, key?: string): Promise<number> {
  const headers: Record<string, string> = key ? { authorization: `Bearer ${key}` } : {};
  const page = await (await fetch(`${url}/metrics`, { headers })).text();
  const line = page.split("\n").find((text) => text.startsWith(`transmla_${name} `));
  return Number(line?.split(" ")[1]);
}

/** Waits until something holds, for so many milliseconds at most; returns how long it took. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  milliseconds: number,
): Promise<number> {
  const started = performance.now();
  const elapsed = () => performance.now() - started;
  while (!(await holds()) && elapsed() <= milliseconds) {
    await new Promise((resolve) => void setTimeout(resolve, 10));
  }
  if (elapsed() > milliseconds) throw new Error(`It did not come about in ${milliseconds} ms.`);
  return elapsed();
}

/**
 * A service of one's own: text as fast as it is read, for as long as it is wanted. What the handlers promise about their readers does
 * not depend on a model.
 */
export function endlessService(): TextService & { readonly open: number } {
  let open = 0;
  const timings = { queued: 0, prefill: 0, decode: 0 };
  const load = { running: 0, waiting: 0, reservedTokens: 0, capacityTokens: 1, cachedTokens: 0 };
  return {
    model: { id: "endless", created: 0, contextTokens: 1_000_000 },
    get load() {
      return { ...load, running: open };
    },
    failure: undefined,
    get open() {
      return open;
    },
    submit: async ({ maxTokens = Infinity }, signal): Promise<TextAnswer> => ({
      promptTokens: 1,
      async *[Symbol.asyncIterator]() {
        open++;
        try {
          for (let tokens = 0; tokens < maxTokens; tokens++) {
            if (tokens % 16 === 0) await new Promise((resolve) => void setImmediate(resolve));
            signal.throwIfAborted();
            yield { type: "text", choice: 0, text: "word ".repeat(20), tokens: [] };
          }
          const finishReason = "length";
          yield {
            type: "end",
            choice: 0,
            finishReason,
            tokens: maxTokens,
            cachedTokens: 0,
            timings,
          };
        } finally {
          open--;
        }
      },
    }),
  };
}
