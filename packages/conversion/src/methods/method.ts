import type { Device } from "@transmla/kernels";
import type { GroupedAttentionConfig, LatentAttentionConfig, ModelFiles } from "@transmla/models";
import type { MeasuredInput } from "../formats/format";
import type { EncodedTensor } from "../memory-checkpoint";
import type { ChosenSizes, ConversionOptions, FormatNeeds, LatentSizes } from "../options";
import type { ConversionProgress } from "../progress";
import type { LatentWeights, WrittenWeights } from "../weights";

/** A way to turn grouped into latent attention: its row in the table of methods. */
export interface ConversionMethod {
  readonly needsCalibration: boolean;
  /** Chooses and checks the sizes. Throws `InvalidOption`, and `UnsupportedFormat` if the format needs what the method cannot do. */
  sizes(
    original: GroupedAttentionConfig,
    options: ConversionOptions,
    needs: FormatNeeds,
  ): LatentSizes;
  /** Settles what the sizes leave open. Absent where a method leaves nothing to the calibration text. */
  chooseSizes?(job: ConversionJob): Promise<ChosenSizes>;
  /** The converted attention of a layer, as far as it is known before calibration. */
  layerConfig(original: GroupedAttentionConfig, sizes: LatentSizes): LatentAttentionConfig;
  /** Prepares to convert the layers, in order. */
  start(job: ConversionJob): Promise<LayerConverter>;
}

/** What a method works on. */
export interface ConversionJob {
  readonly files: ModelFiles;
  readonly device: Device;
  readonly sizes: LatentSizes;
  /** Calibration sequences of token ids; empty for methods that need none. */
  readonly calibration: readonly Int32Array[];
  /** The layer's weights as the output format has them: what is compared, refitted and handed on from here. */
  readonly written: (
    layer: number,
    weights: LatentWeights,
    input?: MeasuredInput,
  ) => Promise<WrittenWeights>;
  /** The layer's weights under native names in the storage of the output, to run the layer from. */
  readonly encode: (layer: number, weights: WrittenWeights) => EncodedTensor[];
  readonly onProgress: (progress: ConversionProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Converts layers one after the other. */
export interface LayerConverter {
  /** The fold in use, once chosen. */
  readonly freqFold?: number | undefined;
  /** What makes the result doubtful, in words. */
  readonly warnings?: readonly string[] | undefined;
  /** What calibration chose, as sizes that a resumed conversion is given. */
  readonly choices?: Partial<LatentSizes> | undefined;
  convert(layer: number): Promise<ConvertedLayer>;
  /** Goes on as if it had converted this layer. Absent where layers are independent of each other. */
  resume?(layer: number, converted: ConvertedLayer): Promise<void>;
}

export interface ConvertedLayer {
  readonly weights: WrittenWeights;
  /** Part of the second moment of position-free keys and values that the latent keeps. */
  readonly keptEnergy: number;
  /**
   * `E|o' - o|^2 / E|o|^2` of the attention's output, `o` in the original model and `o'` in the converted one, on the
   * calibration text; 0 where nothing can differ.
   */
  readonly outputError: number;
}
