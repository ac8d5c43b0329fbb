import {
  ChatTemplate,
  Engine,
  loadTokenizer,
  TextEngine,
} from "@transmla/generation";
import { cpuDevice } from "@transmla/kernels";
import { loadModel, openModel } from "@transmla/models";
import { localService, openaiHandler } from "@transmla/server";
import { folder } from "@transmla/tensor-io";

const files = await openModel(folder("./sample-mla"));
const model = await loadModel(files, await cpuDevice());
const tokenizer = await loadTokenizer(files.origin);
const engine = new Engine(model, { cache: { bytes: 32e6 } });
const template = ChatTemplate.fromConfig(tokenizer.config);
const text = new TextEngine(engine, tokenizer, model.config, template);
const service = localService(text, {
  id: "mine",
  contextTokens: model.config.maxPositions,
});

// `handler.fetch` takes a Request and gives a Response.
const handler = openaiHandler(service, { apiKeys: ["secret"] });

const request = new Request("http://localhost/v1/completions", {
  method: "POST",
  headers: {
    "content-type": "application/json",
    authorization: "Bearer secret",
  },
  body: JSON.stringify({
    model: "mine",
    prompt: "ROMEO:",
    max_tokens: 12,
  }),
});
const response = await handler.fetch(request);
console.log(response.status, (await response.json()).choices[0].text);
await engine.close();
await files.close();
