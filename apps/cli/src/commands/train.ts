import { defineCommand } from "../command";
import { withModel } from "../model-location";
import { trainingFlags } from "./training/flags";
import { runTraining } from "./training/run";

export const trainCommand = defineCommand({
  name: "train",
  summary: "train a model further on a text or on conversations",
  arguments: [
    { name: "model", description: "folder, .gguf file, hub id or sample" },
    { name: "out", description: "folder for the trained model" },
  ],
  flags: trainingFlags,
  examples: [
    ["transmla train ./mla ./trained --text book.txt --rate 2e-5", "on a text"],
    [
      "transmla train ./mla ./trained --data chats.jsonl --train adapters",
      "low-rank, merged at the end",
    ],
    [
      "transmla train sample ./trained --steps 20 --report run.html",
      "the sample model, with curves",
    ],
    ["transmla train ./mla ./trained --text book.txt --dry-run", "what it would need"],
  ],
  action: (context, [name = "", out = ""], flags) =>
    withModel(context, name, (model) =>
      runTraining(context, { model, out, flags, objective: { crossEntropy: 1 } }),
    ),
});
