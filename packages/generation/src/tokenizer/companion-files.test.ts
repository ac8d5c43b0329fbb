import { memoryFolder } from "@transmla/tensor-io";
import { expect, it } from "vitest";
import { companionFiles } from "./companion-files";

const bytes = (text: string) => new TextEncoder().encode(text);

it("takes tokenizer and settings from a folder, and neither weights nor config", async () => {
  const names = ["tokenizer.json", "chat_template.jinja", "generation_config.json"];
  const files = new Map(
    [...names, "config.json", "model.safetensors"].map((name) => [name, bytes(name)]),
  );
  const companions = await companionFiles({ folder: memoryFolder(files) });
  expect([...companions.keys()].toSorted()).toEqual(names.toSorted());
  for (const name of names) expect(companions.get(name)).toEqual(bytes(name));
});

it("has nothing to take from a GGUF file without a tokenizer", async () => {
  expect(await companionFiles({ gguf: { values: new Map() } })).toEqual(new Map());
});
