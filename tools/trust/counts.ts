import type { TestContext } from "vitest";

/** What a run counts, in the order it is printed. */
export const kinds = {
  files: "damaged or hostile files tried",
  mutations: "bytes changed in valid files",
  kills: "processes killed",
  faults: "faults of the system",
  numbers: "results at the edge of number ranges",
  requests: "requests to a server",
  losses: "losses",
} as const;

export type Counts = Partial<Record<keyof typeof kinds, number>>;

declare module "vitest" {
  interface TaskMeta {
    counts?: Counts;
  }
}

/** Adds to the figures of a test. */
export function counted({ meta }: TestContext["task"], counts: Counts): void {
  meta.counts = sum([meta.counts ?? {}, counts]);
}

export function sum(all: readonly Counts[]): Counts {
  const total: Counts = {};
  for (const counts of all) {
    for (const [kind, value] of Object.entries(counts) as [keyof Counts, number][]) {
      total[kind] = (total[kind] ?? 0) + value;
    }
  }
  return total;
}
