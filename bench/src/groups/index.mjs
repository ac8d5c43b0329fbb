import { attention } from "./attention.mjs";
import { contexts } from "./contexts.mjs";
import { conversion } from "./conversion.mjs";
import { decode } from "./decode.mjs";
import { lowRank } from "./low-rank.mjs";
import { matmul } from "./matmul.mjs";
import { memory } from "./memory.mjs";
import { prefill } from "./prefill.mjs";
import { tensorIo } from "./tensor-io.mjs";
import { wllama } from "./wllama.mjs";

/**
 * Groups by the name that `--only` takes. Each is `async ({ quick, machine, progress, tables }) => rows`; what is pushed to `tables`
 * appears beside the rows as `{ title, columns, rows }`.
 */
export const groups = {
  matmul,
  decode,
  contexts,
  prefill,
  attention,
  "low-rank": lowRank,
  "tensor-io": tensorIo,
  conversion,
  memory,
  wllama,
};
