import { createInterface } from "node:readline/promises";
import {
  ChatTemplate,
  loadTokenizer,
  Sampler,
  StreamDecoder,
} from "@transmla/generation";
import { cpuDevice } from "@transmla/kernels";
import { loadModel, openModel } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { fileSource, folder } from "@transmla/tensor-io";

const path = process.argv[2] ?? modelFolderPath();
const answerTokens = 60;

// #region load
// Checkpoint bytes become a model on a device.
const device = await cpuDevice({ threads: 2 });
const files = await openModel(
  path.endsWith(".gguf") ? await fileSource(path) : folder(path),
);
const tokenizer = await loadTokenizer(files.origin);
const model = await loadModel(files, device);
await files.close();

// Models without a template of their own get a plain one.
const plain =
  "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";
const template =
  ChatTemplate.fromConfig(tokenizer.config) ?? new ChatTemplate(plain);

// Room for all positions of the model, or for four thousand.
const capacity = Math.min(model.config.maxPositions, 4096);
const cache = model.createCache({ capacity });
const sequence = cache.open();
// #endregion load

// #region step
/** Token ids that the cache holds, in order. */
const held = [];

/** Reads tokens into the cache, piece by piece → logits, `[vocab]`. */
async function read(tokens) {
  for (let start = 0; ; start += 128) {
    const piece = Int32Array.from(tokens.slice(start, start + 128));
    const isLast = start + 128 >= tokens.length;
    const logits = model.forward(cache, [{ sequence, tokens: piece }]);
    held.push(...piece);
    const values = await device.read(logits);
    device.release(logits);
    if (isLast) return values;
  }
}

/** Goes back to where the prompt and the cache part. */
function newPart(prompt) {
  let shared = 0;
  while (
    shared < held.length &&
    shared < prompt.length - 1 &&
    held[shared] === prompt[shared]
  )
    shared++;
  sequence.truncate(shared);
  held.length = shared;
  return prompt.slice(shared);
}
// #endregion step

// #region answer
/** Writes the answer to a conversation piece by piece, and returns it. */
async function answer(messages, seed) {
  const text = template.render(messages);
  const prompt = [
    ...tokenizer.encode(text, {
      addSpecialTokens: false,
      parseSpecialTokens: true,
    }),
  ];
  const room = capacity - prompt.length;
  if (room < 1) throw new Error("The conversation fills the context.");
  const sampler = new Sampler(
    { temperature: 0.8, topP: 0.95, seed },
    prompt,
  );
  const decoder = new StreamDecoder(tokenizer, {
    skipSpecialTokens: true,
    context: prompt,
  });
  const said = [];
  const write = (piece) => {
    said.push(piece);
    process.stdout.write(piece);
  };
  let next = newPart(prompt);
  for (let made = 0; made < Math.min(answerTokens, room); made++) {
    const token = sampler.choose(await read(next));
    if (model.config.eosTokenIds.includes(token)) break;
    write(decoder.push(token));
    next = [token];
  }
  write(decoder.flush());
  return said.join("");
}
// #endregion answer

// #region loop
console.log(
  `${model.config.family}, ${cache.numbersPerToken} cached numbers per token.`,
  "An empty line or Ctrl-D: leave.",
);
const lines = createInterface({
  input: process.stdin,
  output: process.stdout,
  prompt: "> ",
});
const messages = [];
lines.prompt();
for await (const line of lines) {
  if (line.trim() === "") break;
  messages.push({ role: "user", content: line });
  messages.push({
    role: "assistant",
    content: await answer(messages, messages.length),
  });
  const bytes = sequence.length * cache.bytesPerToken;
  console.log(
    `\n(${sequence.length} tokens in the cache, ${(bytes / 1e3).toFixed(0)} kB)`,
  );
  lines.prompt();
}
lines.close();
device.destroy();
// #endregion loop
