import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Reporter, TestModule } from "vitest/node";
import { kinds, sum, type Counts } from "./counts.ts";

interface Promised {
  readonly promise: string;
  readonly kept: boolean;
  readonly skipped: boolean;
  readonly counts: Counts;
}

const figures = new URL("../../docs/trust.json", import.meta.url);

/** Prints what was tried and what was lost, and keeps the figures of a whole run for the docs. */
export class TrustReporter implements Reporter {
  private readonly started = performance.now();

  onTestRunEnd(modules: readonly TestModule[], _: unknown, reason: string): void {
    const promises = modules.flatMap((module) => [...promisesOf(module)]);
    if (promises.length === 0) return;
    const total = sum(promises.map(({ counts }) => counts));
    const lost = promises.filter(({ kept, skipped }) => !kept && !skipped).length;
    const all = { ...total, losses: lost };
    const seconds = Math.round((performance.now() - this.started) / 1000);
    const rows = Object.entries(kinds).map(
      ([kind, title]) => `${String(all[kind as keyof Counts] ?? 0).padStart(8)}  ${title}`,
    );
    console.log(["", ...rows, `${String(seconds).padStart(8)}  seconds`].join("\n"));
    const filtered = process.argv.slice(2).some((word) => /trust\/|^attacks/.test(word));
    if (reason === "interrupted" || filtered) return;
    writeFileSync(figures, `${JSON.stringify({ seconds, total: all, promises }, null, 2)}\n`);
    console.log(`written: ${fileURLToPath(figures)}`);
  }
}

function* promisesOf(module: TestModule): Generator<Promised> {
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    yield {
      promise: test.fullName.replaceAll(" > ", ": "),
      kept: state === "passed",
      skipped: state === "skipped",
      counts: test.meta().counts ?? {},
    };
  }
}
