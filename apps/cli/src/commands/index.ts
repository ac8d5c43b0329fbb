import type { Command } from "../command";
import { benchCommand } from "./bench";
import { chatCommand } from "./chat";
import { compareCommand } from "./compare";
import { convertCommand } from "./convert";
import { demoCommand } from "./demo";
import { distillCommand } from "./distill";
import { evaluateCommand } from "./evaluate";
import { exportCommand } from "./export";
import { generateCommand } from "./generate";
import { inspectCommand } from "./inspect";
import { planCommand } from "./plan";
import { serveCommand } from "./serve";
import { trainCommand } from "./train";

/** The commands, in the order of the help. A new one is one entry. */
export const commands: readonly Command[] = [
  demoCommand,
  inspectCommand,
  planCommand,
  convertCommand,
  evaluateCommand,
  compareCommand,
  generateCommand,
  chatCommand,
  serveCommand,
  distillCommand,
  trainCommand,
  exportCommand,
  benchCommand,
];
