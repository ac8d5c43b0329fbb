import type { TextEvent } from "@transmla/generation";
import type { TextService } from "./service";

/** Upper bounds of the buckets, in seconds. */
const buckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

class Histogram {
  private readonly counts = new Float64Array(buckets.length + 1);
  private sum = 0;

  observe(seconds: number): void {
    const bucket = buckets.findIndex((bound) => seconds <= bound);
    this.counts[bucket < 0 ? buckets.length : bucket]!++;
    this.sum += seconds;
  }

  lines(name: string): string[] {
    let total = 0;
    const lines = [...buckets, "+Inf"].map((bound, index) => {
      total += this.counts[index]!;
      return `${name}_bucket{le="${bound}"} ${total}`;
    });
    return [...lines, `${name}_sum ${this.sum}`, `${name}_count ${total}`];
  }
}

/** What a server tells of itself, in the text format of Prometheus (version 0.0.4). */
export class Metrics {
  private readonly requests = new Map<string, number>();
  private readonly firstToken = new Histogram();
  private readonly duration = new Histogram();
  private promptTokens = 0;
  private cachedTokens = 0;
  private generatedTokens = 0;
  /** Requests for text that are not yet answered in full. */
  inFlight = 0;

  answered(route: string, status: number): void {
    const labels = `route="${route}",status="${status}"`;
    this.requests.set(labels, (this.requests.get(labels) ?? 0) + 1);
  }

  /** Answers of all routes. */
  get answers(): number {
    return [...this.requests.values()].reduce((sum, count) => sum + count, 0);
  }

  prompt(tokens: number): void {
    this.promptTokens += tokens;
  }

  /** A choice has ended. */
  ended({ tokens, cachedTokens, timings }: TextEvent & { type: "end" }): void {
    this.generatedTokens += tokens;
    this.cachedTokens += cachedTokens;
    this.firstToken.observe(timings.queued + timings.prefill);
    this.duration.observe(timings.queued + timings.prefill + timings.decode);
  }

  /** The page for `/metrics`. */
  text({ load, failure }: TextService): string {
    const metrics: readonly (readonly [
      name: string,
      type: string,
      help: string,
      lines: (name: string) => readonly string[],
    ])[] = [
      ["requests_total", "counter", "Answers by route and status.", (name) => this.counted(name)],
      [
        "requests_in_flight",
        "gauge",
        "Requests for text not yet answered in full.",
        one(this.inFlight),
      ],
      ["engine_running", "gauge", "Requests that the engine works on.", one(load.running)],
      ["engine_waiting", "gauge", "Requests in the engine's queue.", one(load.waiting)],
      ["engine_up", "gauge", "1 while the engine runs.", one(failure === undefined ? 1 : 0)],
      [
        "cache_tokens_reserved",
        "gauge",
        "Cache tokens in use or promised.",
        one(load.reservedTokens),
      ],
      [
        "cache_tokens_cached",
        "gauge",
        "Cache tokens kept for prompts that begin alike.",
        one(load.cachedTokens),
      ],
      ["cache_tokens_capacity", "gauge", "Cache tokens there are.", one(load.capacityTokens)],
      ["prompt_tokens_total", "counter", "Tokens of prompts.", one(this.promptTokens)],
      [
        "cached_prompt_tokens_total",
        "counter",
        "Prompt tokens found in the cache.",
        one(this.cachedTokens),
      ],
      ["generated_tokens_total", "counter", "Tokens made.", one(this.generatedTokens)],
      [
        "first_token_seconds",
        "histogram",
        "From the request to its first token.",
        (name) => this.firstToken.lines(name),
      ],
      [
        "choice_seconds",
        "histogram",
        "From the request to the last token of a choice.",
        (name) => this.duration.lines(name),
      ],
    ];
    return metrics
      .flatMap(([short, type, help, lines]) => {
        const name = `transmla_${short}`;
        return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines(name)];
      })
      .join("\n")
      .concat("\n");
  }

  private counted(name: string): string[] {
    return Array.from(this.requests, ([labels, count]) => `${name}{${labels}} ${count}`);
  }
}

const one =
  (value: number) =>
  (name: string): readonly string[] => [`${name} ${value}`];
