import { defineCommand } from "../command";
import { usage } from "../errors";
import { decimal, filled, integer, optional, withDefault } from "../flags";
import { withModel } from "../model-location";
import { trainingFlags } from "./training/flags";
import { runTraining } from "./training/run";

const weight = decimal(0);

const flags = {
  teacher: optional(
    "--teacher <model>",
    "model to learn from: the unconverted or a larger one",
    filled,
  ),
  divergence: withDefault(
    "--divergence <w>",
    "weight of the divergence from its logits",
    weight,
    1,
  ),
  temperature: withDefault("--temperature <t>", "of both softmaxes", decimal(1e-3), 1),
  crossEntropy: withDefault("--cross-entropy <w>", "weight of the text itself", weight, 0),
  attention: withDefault("--attention <w>", "weight of every layer's attention output", weight, 0),
  teacherCache: optional(
    "--teacher-cache <file>",
    "keep the teacher's largest logits in this file, and use them when they are there",
    filled,
  ),
  topK: withDefault("--top-k <n>", "logits per token in that file", integer(1), 64),
  ...trainingFlags,
};

export const distillCommand = defineCommand({
  name: "distill",
  summary: "train a converted model towards a teacher",
  arguments: [
    { name: "student", description: "folder, .gguf file, hub id or sample" },
    { name: "out", description: "folder for the trained model" },
  ],
  flags,
  examples: [
    [
      "transmla distill ./sample-mla ./healed --teacher sample --text sample",
      "win back what conversion cost",
    ],
    [
      "transmla distill ./mla ./healed --teacher ./model --text book.txt --rate 5e-5",
      "a model of yours",
    ],
    [
      "transmla distill ./mla ./r1 --teacher ./larger --data chats.jsonl --cross-entropy 1",
      "reasoning",
    ],
    [
      "transmla distill ./mla ./healed --teacher ./model --text book.txt --resume",
      "after an interruption",
    ],
  ],
  action: (context, [name = "", out = ""], values) => {
    const { teacher: wanted, divergence, temperature, crossEntropy, attention, ...others } = values;
    const { teacherCache: file, topK, ...rest } = others;
    if (wanted === undefined) {
      throw usage("--teacher MODEL is needed: who is learnt from.", { flag: "--teacher" });
    }
    const objective = { divergence, temperature, crossEntropy, attention };
    if (divergence + crossEntropy + attention === 0) {
      throw usage(
        "one of --divergence, --cross-entropy and --attention must be above 0.",
        objective,
      );
    }
    if (file !== undefined && attention > 0) {
      throw usage("--teacher-cache holds logits only; leave it out for --attention.", objective);
    }
    const cache = file === undefined ? undefined : { file, topK };
    return withModel(context, name, (model) =>
      withModel(context, wanted, (teacher) =>
        runTraining(context, { model, teacher, cache, out, flags: rest, objective }),
      ),
    );
  },
});
