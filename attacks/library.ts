import { ChatTemplate, generateText, loadTokenizer } from "@transmla/generation";
import { referenceDevice } from "@transmla/kernels";
import { loadModel, openModel } from "@transmla/models";
import { bytesSource, memoryFolder } from "@transmla/tensor-io";
import type { Files } from "./attack";

const brand = Symbol.for("@transmla/error");

/** What a way in says of files: `sound`, or the code of an error of ours. Anything else that is thrown is a finding. */
export async function verdictOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return "sound";
  } catch (error) {
    if (error instanceof Error && brand in error) return (error as { code?: string }).code!;
    throw error;
  }
}

/** Opens a model and uses all of it: tokenizer, chat template, weights and two tokens of an answer. */
export async function useModel(contents: Files): Promise<string> {
  const gguf = contents.get("model.gguf");
  const files = await openModel(
    gguf ? bytesSource(gguf, "model.gguf") : memoryFolder(new Map(contents)),
  );
  const device = referenceDevice();
  try {
    const tokenizer = await loadTokenizer(files.origin);
    const template = ChatTemplate.fromConfig(tokenizer.config);
    const messages = [{ role: "user", content: "Who is there?" }];
    const prompt = template?.render(messages) ?? "Who is there?";
    const model = await loadModel(files, device);
    const { text } = await generateText(model, tokenizer, {
      prompt: tokenizer.encode(prompt, { addSpecialTokens: false, parseSpecialTokens: true }),
      maxTokens: 2,
      temperature: 0,
    });
    return text;
  } finally {
    device.destroy();
    await files.close();
  }
}

export const libraryVerdict = (files: Files): Promise<string> => verdictOf(() => useModel(files));
