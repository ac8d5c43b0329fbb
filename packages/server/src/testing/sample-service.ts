import { ChatTemplate, Engine, loadTokenizer, TextEngine } from "@transmla/generation";
import { cpuDevice } from "@transmla/kernels";
import { loadModel, openModel } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { folder } from "@transmla/tensor-io";
import { localService, type TextService } from "../service";

export interface SampleService extends TextService {
  readonly engine: Engine;
  close(): Promise<void>;
}

/** The embedded model, served in this thread. */
export async function sampleService(
  options: { readonly capacity?: number; readonly maxWaiting?: number } = {},
): Promise<SampleService> {
  const { capacity = 4096, maxWaiting } = options;
  const files = await openModel(folder(modelFolderPath()));
  const device = await cpuDevice({ threads: 1 });
  const model = await loadModel(files, device);
  const tokenizer = await loadTokenizer(files.origin);
  const engine = new Engine(model, { cache: { capacity }, maxWaiting });
  const template = ChatTemplate.fromConfig(tokenizer.config);
  const text = new TextEngine(engine, tokenizer, model.config, template);
  const service = localService(text, { id: "sample", contextTokens: model.config.maxPositions });
  return Object.assign(service, {
    engine,
    close: async () => {
      await engine.close();
      await files.close();
      device.destroy();
    },
  });
}
