import { convertModel, estimateConversion } from "./convert";
import { divergeText } from "./diverge";
import { measure } from "./measure";
import { openModelAt } from "./open";
import { planDeployments } from "./plan";
import { saveConverted, zipConverted } from "./save";
import { spectra } from "./spectra";
import { keptModels, removeKept } from "./kept";
import { start } from "./start";
import { traceToken } from "./trace";
import { writeText } from "./write";

/** Everything the page can ask for. A new ability is an entry here and a file beside it. */
export const operations = {
  start,
  open: openModelAt,
  estimate: estimateConversion,
  convert: convertModel,
  measure,
  spectra,
  write: writeText,
  diverge: divergeText,
  trace: traceToken,
  plan: planDeployments,
  save: saveConverted,
  zip: zipConverted,
  kept: keptModels,
  removeKept,
} as const;
