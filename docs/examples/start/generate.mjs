import { loadTokenizer, streamText } from "@transmla/generation";
import { cpuDevice } from "@transmla/kernels";
import { loadModel, openModel } from "@transmla/models";
import { folder } from "@transmla/tensor-io";

const files = await openModel(folder("./sample-mla"));
const model = await loadModel(files, await cpuDevice());
const tokenizer = await loadTokenizer(files.origin);

const stream = streamText(model, tokenizer, {
  prompt: "KING RICHARD:",
  maxTokens: 60,
});
for await (const { text } of stream) process.stdout.write(text);
console.log(`\n${stream.summary.kvCacheBytes} bytes of cache`);
await files.close();
