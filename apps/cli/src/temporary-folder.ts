import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs `body` with a new folder that is removed afterwards, however it ends. */
export async function withTemporaryFolder<Value>(
  body: (path: string) => Promise<Value>,
): Promise<Value> {
  const path = await mkdtemp(join(tmpdir(), "transmla-demo-"));
  try {
    return await body(path);
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}
