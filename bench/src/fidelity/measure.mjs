import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { convert, planConversion } from "@transmla/conversion";
import { divergence, recordStates } from "@transmla/evaluation";
import { loadModel, openModel } from "@transmla/models";
import { memoryFolder } from "@transmla/tensor-io";
import { cached } from "../cache.mjs";
import { uniform } from "../random.mjs";
import { conversionOptions } from "./cells.mjs";
import { fingerprint, openSubject, subjects } from "./subjects.mjs";

/** Rows per step: enough for matrix products to run at their limit. */
const CHUNK = 256;

/** Measures the cells of one model, one after the other. */
export class Bench {
  #name;
  #subject;
  #inputs;
  #device;
  #original;
  #conversion = { key: undefined, model: undefined };

  /** Opens the model and puts the original on the device. */
  static async open(name, located, device, signal) {
    const bench = new Bench();
    bench.#name = name;
    bench.#inputs = await fingerprint(located);
    bench.#subject = await openSubject(located);
    bench.#device = device;
    bench.#original = await loadModel(bench.#subject.files, device, { signal });
    return bench;
  }

  /** @returns the cell's numbers; `seconds.conversion` is that of the conversion it shares with other contexts */
  async measure(cell, { progress, signal }) {
    const converted = await this.#converted(cell, { progress, signal });
    const { evaluation } = this.#subject;
    const options = this.#evaluationOptions(cell, "comparing", { progress, signal });
    const states = await this.#originalStates(cell, { progress, signal });
    const original = { model: this.#original, states };
    const result = await divergence(original, converted.model, evaluation, options);
    return {
      perplexity: result.perplexityB,
      original: result.perplexityA,
      meanKl: result.meanKl,
      topAgreement: result.topAgreement,
      ...converted.report,
      seconds: { conversion: converted.seconds, evaluation: result.seconds },
    };
  }

  async close() {
    this.#conversion.model?.release();
    this.#original.release();
    await this.#subject.files.close();
  }

  /** The converted model of a cell, kept until another one is needed. */
  async #converted(cell, { progress, signal }) {
    const options = conversionOptions(cell);
    const key = JSON.stringify({ options, seed: cell.seed });
    if (this.#conversion.key === key) return this.#conversion;
    this.#conversion.model?.release();
    this.#conversion = { key: undefined, model: undefined };
    const output = memoryFolder();
    const report = await convert(planConversion(this.#subject.files, options), {
      device: this.#device,
      calibration: this.#calibration(cell.seed),
      output,
      onProgress: ({ phase, done, total, unit }) => progress(`${phase} ${done}/${total} ${unit}`),
      signal,
    });
    const files = await openModel(output);
    const model = await loadModel(files, this.#device, { signal });
    await files.close();
    const { kvLoraRank, ropeDim, freqFold, ladderStep, keptFraction, warnings } = report;
    this.#conversion = {
      key,
      model,
      seconds: report.seconds,
      report: { kvLoraRank, ropeDim, freqFold, ladderStep, keptFraction, warnings },
    };
    return this.#conversion;
  }

  /** Blocks of the calibration text, chosen and put in order by the seed. */
  #calibration(seed) {
    const { samples, sequenceLength } = subjects[this.#name].calibration;
    const { calibration } = this.#subject;
    const next = uniform(seed);
    const blocks = Array.from(
      { length: Math.floor(calibration.length / sequenceLength) },
      (_, i) => ({
        tokens: calibration.slice(i * sequenceLength, (i + 1) * sequenceLength),
        order: next(),
      }),
    );
    const shuffled = blocks.toSorted((a, b) => a.order - b.order);
    return shuffled.slice(0, samples).map(({ tokens }) => tokens);
  }

  #evaluationOptions({ context }, phase, { progress, signal }) {
    const { evaluationTokens: maxTokens } = subjects[this.#name];
    const onProgress = ({ done, total, unit }) => progress(`${phase} ${done}/${total} ${unit}`);
    return { context, maxTokens, chunk: CHUNK, onProgress, signal };
  }

  /** The original's final states on the evaluation text, computed once and kept on the disk. */
  async #originalStates(cell, { progress, signal }) {
    const options = this.#evaluationOptions(cell, "running the original", { progress, signal });
    const { evaluation } = this.#subject;
    const { model, evaluation: text } = this.#inputs;
    const determined = JSON.stringify([model, text, options.maxTokens, cell.context]);
    const hash = createHash("sha256").update(determined).digest("hex").slice(0, 16);
    const path = await cached(`states-${hash}.f32`, async (part) => {
      const states = await recordStates(this.#original, evaluation, options);
      await writeFile(part, new Uint8Array(states.buffer));
    });
    const bytes = await readFile(path);
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  }
}
