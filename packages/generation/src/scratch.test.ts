import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { fileSource, openGguf } from "@transmla/tensor-io";
import { Tokenizer } from "./index";
it("smollm2", async () => {
  const ref = JSON.parse(readFileSync("/tmp/ref.json", "utf8"));
  const g = await openGguf(await fileSource("/root/.cache/transmla/models/SmolLM2-135M-Instruct.Q4_1.gguf"));
  let t0 = performance.now();
  const t = Tokenizer.fromGguf(g.values);
  console.log("build", performance.now() - t0, t.vocabSize, t.config);
  t0 = performance.now();
  const ids = t.encode(ref.text);
  console.log("encode", performance.now() - t0, ids.length);
  expect([...ids]).toEqual(ref.wiki);
  expect([...t.encode(ref.extraText, { parseSpecialTokens: true })]).toEqual(ref.extra);
  expect([...t.encode(ref.extraText)]).toEqual(ref.plain);
  expect(t.decode(ref.extra)).toBe(ref.decoded);
  expect(t.decode(t.encode(ref.text))).toBe(ref.text);
  for (const [n, s] of [["a", "a".repeat(1e6)], ["sp", " ".repeat(1e6)], ["nl", "\n".repeat(1e6)+"x"], ["mix", "ab12".repeat(250000)]] as const) {
    t0 = performance.now();
    const l = t.encode(s).length;
    console.log(n, performance.now() - t0, l);
  }
});
