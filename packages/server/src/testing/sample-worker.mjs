// A worker that serves the embedded model. It runs as users' workers do: on the built packages.
import { ChatTemplate, Engine, loadTokenizer, TextEngine } from "@transmla/generation";
import { cpuDevice } from "@transmla/kernels";
import { loadModel, openModel } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { runInWorker } from "@transmla/server/node";
import { folder } from "@transmla/tensor-io";

runInWorker(
  async ({ capacity = 8192, maxWaiting = 64, template, crashAfter, fail }, onProgress) => {
    if (fail) throw Object.assign(new Error("no such model"), { code: "ModelNotFound" });
    const files = await openModel(folder(modelFolderPath()));
    const device = await cpuDevice({ threads: 1 });
    const model = await loadModel(files, device, { onProgress });
    const tokenizer = await loadTokenizer(files.origin);
    const engine = new Engine(model, { cache: { capacity }, maxWaiting });
    const chat = template ? new ChatTemplate(template) : ChatTemplate.fromConfig(tokenizer.config);
    if (crashAfter) setTimeout(() => process.exit(3), crashAfter);
    return {
      engine: new TextEngine(engine, tokenizer, model.config, chat),
      id: "sample",
      contextTokens: model.config.maxPositions,
      async close() {
        await engine.close();
        model.release();
        device.destroy();
        await files.close();
      },
    };
  },
);
