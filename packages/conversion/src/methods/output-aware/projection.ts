import type { Device, Tensor, Weight } from "@transmla/kernels";
import { columnSlice, matrix, type Matrix } from "@transmla/low-rank";

/** A map of `x~ = [x; 1]`, `[outputs, inputs + 1]`, in float32 on a device. */
export class Projection {
  private readonly weight: Weight;
  private readonly bias: Tensor;

  constructor(
    private readonly device: Device,
    map: Matrix,
  ) {
    const inputs = map.columns - 1;
    const float32 = (m: Matrix) => Float32Array.from(m.data);
    this.weight = device.weight([map.rows, inputs], "f32");
    device.writeRows(this.weight, 0, new Uint8Array(float32(columnSlice(map, 0, inputs)).buffer));
    this.bias = device.tensor(float32(columnSlice(map, inputs)), [1, map.rows]);
  }

  /** Images of `rows [tokens, inputs]`, `[tokens, outputs]`. */
  async images(rows: Float32Array): Promise<Matrix> {
    const { device, weight, bias } = this;
    const [outputs, inputs] = weight.shape;
    const tokens = rows.length / inputs;
    const images = device.scope(() =>
      device.linear(device.tensor(rows, [tokens, inputs]), weight, bias),
    );
    const values = await device.read(images);
    device.release(images);
    return matrix(tokens, outputs, values);
  }

  release(): void {
    this.device.release(this.weight);
    this.device.release(this.bias);
  }
}
