import { ChatTemplate, loadTokenizer, type Tokenizer } from "@transmla/generation";
import type { Device } from "@transmla/kernels";
import { loadModel, type Model, type ModelFiles } from "@transmla/models";
import { calibrationTextUrl, evaluationTextUrl } from "@transmla/sample-model";
import type { ModelFolder } from "@transmla/tensor-io";
import { openDevice, type DeviceName, type DeviceReport } from "./devices";
import { PlaygroundError } from "./failure";

/** The two places of the bench: a model as it came, and one with latent attention to compare with it. */
export type Place = "original" | "converted";

/** An opened model. Its weights are on the device from the first time that they are needed. */
export interface BenchModel {
  readonly name: string;
  readonly files: ModelFiles;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate | undefined;
  /** The folder that a conversion was written to; absent for what was opened. */
  readonly output?: ModelFolder | undefined;
  model?: Model | undefined;
}

/** What the worker owns: a device, up to two models, the texts. */
export class Workbench {
  private readonly places = new Map<Place, BenchModel>();
  private readonly texts = new Map<string, Promise<string>>();
  private opened: { readonly device: Device; readonly report: DeviceReport } | undefined;

  /** Changes the device; weights are loaded onto it again when they are needed. */
  async useDevice(name: DeviceName): Promise<DeviceReport> {
    if (this.opened?.report.name === name) return this.opened.report;
    const opened = await openDevice(name);
    this.opened?.device.destroy();
    for (const model of this.places.values()) model.model = undefined;
    this.opened = opened;
    return opened.report;
  }

  /** What computes; undefined before the first device is opened. */
  get report(): DeviceReport | undefined {
    return this.opened?.report;
  }

  async device(): Promise<Device> {
    if (!this.opened) await this.useDevice("cpu");
    return this.opened!.device;
  }

  /** Puts a model in its place; the one before is closed. Closes the files where that fails. */
  async place(place: Place, files: ModelFiles, rest: Pick<BenchModel, "name" | "output">) {
    const model: BenchModel = { ...rest, files, ...(await textSideOf(files)) };
    await this.remove(place);
    this.places.set(place, model);
    return model;
  }

  async remove(place: Place): Promise<void> {
    const model = this.places.get(place);
    this.places.delete(place);
    model?.model?.release();
    await model?.files.close();
  }

  /** @throws PlaygroundError `NoModel` */
  at(place: Place): BenchModel {
    const model = this.places.get(place);
    if (model) return model;
    const message =
      place === "original"
        ? "Open a model first."
        : "Convert the model first, or open a converted one.";
    throw new PlaygroundError("NoModel", message);
  }

  /** The places that have a model, the original first. */
  get filled(): readonly Place[] {
    return (["original", "converted"] as const).filter((place) => this.places.has(place));
  }

  /** A model with its weights on the device. @throws KernelsError `OutOfMemory`; the signal's reason */
  async loaded(
    place: Place,
    signal: AbortSignal,
    onProgress: (progress: { done: number; total: number; unit: string }) => void,
  ): Promise<BenchModel & { readonly model: Model }> {
    const bench = this.at(place);
    bench.model ??= await loadModel(bench.files, await this.device(), { signal, onProgress });
    return bench as BenchModel & { readonly model: Model };
  }

  /** A text that comes with the sample model. */
  text(kind: "calibration" | "evaluation"): Promise<string> {
    const known = this.texts.get(kind);
    if (known) return known;
    const url = kind === "calibration" ? calibrationTextUrl() : evaluationTextUrl();
    const text = fetch(url).then((response) => response.text());
    this.texts.set(kind, text);
    return text;
  }
}

/** @throws GenerationError for tokenizers and templates that cannot be used; the files are closed */
async function textSideOf(files: ModelFiles): Promise<Pick<BenchModel, "tokenizer" | "template">> {
  try {
    const tokenizer = await loadTokenizer(files.origin);
    return { tokenizer, template: ChatTemplate.fromConfig(tokenizer.config) };
  } catch (error) {
    await files.close();
    throw error;
  }
}
