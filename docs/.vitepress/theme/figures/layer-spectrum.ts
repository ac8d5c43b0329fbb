/** What the layers of the sample model cache, measured in the page. */
export interface Spectra {
  /** Shares of the variance by direction, largest first. */
  readonly rotatedKeys: Float64Array;
  readonly keys: Float64Array;
  readonly values: Float64Array;
}

const tokens = 512;

export interface Sample {
  readonly layers: number;
  spectra(layer: number): Promise<Spectra>;
}

/** Fetches the sample model (6 MB) and runs it once over its calibration text. */
export async function loadSample(): Promise<Sample> {
  const [kernels, models, generation, lowRank, tensorIo, sample] = await Promise.all([
    import("@transmla/kernels"),
    import("@transmla/models"),
    import("@transmla/generation"),
    import("@transmla/low-rank"),
    import("@transmla/tensor-io"),
    import("@transmla/sample-model"),
  ]);
  const bytes = async (url: URL) => new Uint8Array(await (await fetch(url)).arrayBuffer());
  const entries = await Promise.all(
    sample.sampleModelFiles.map(
      async (name) => [name, await bytes(sample.modelUrl(name))] as const,
    ),
  );
  const files = await models.openModel(tensorIo.memoryFolder(new Map(entries)));
  const device = await kernels.cpuDevice();
  const model = await models.loadModel(files, device);
  const tokenizer = await generation.loadTokenizer(files.origin);
  const text = await (await fetch(sample.calibrationTextUrl())).text();
  const ids = tokenizer.encode(text.slice(0, 6 * tokens)).slice(0, tokens);
  const cache = model.createCache({ capacity: ids.length });
  const sequence = cache.open();
  device.release(model.forward(cache, [{ sequence, tokens: ids }]));

  const slots = Int32Array.from(
    ids,
    (_, n) =>
      sequence.pages[Math.floor(n / cache.pageTokens)]! * cache.pageTokens + (n % cache.pageTokens),
  );
  /** Eigenvalues of the covariance of rows, as shares of their sum. */
  const shares = (rows: Float32Array, width: number): Float64Array => {
    const moments = new lowRank.Moments(width);
    moments.add(rows);
    const { values } = lowRank.eigh(moments.covariance());
    const total = values.reduce((sum, value) => sum + Math.max(0, value), 0);
    return values.map((value) => Math.max(0, value) / total);
  };

  return {
    layers: model.config.layers.length,
    async spectra(layer) {
      const { attention } = model.config.layers[layer]!;
      const [keyPool, valuePool] = cache.pool(layer);
      const rotatedKeys = device.readPages(keyPool!, slots);
      const values = device.readPages(valuePool!, slots);
      // Turned back by the angle that each was turned by.
      const back = new models.Rotations(
        device,
        Int32Array.from(ids, (_, n) => -n),
        [attention.frequencies],
      );
      const keys = device.rope(rotatedKeys, back.table(attention.frequencies)!, back.rows);
      const read = async (tensor: typeof keys) =>
        shares(await device.read(tensor), tensor.shape[1]);
      const result = {
        rotatedKeys: await read(rotatedKeys),
        keys: await read(keys),
        values: await read(values),
      };
      for (const tensor of [rotatedKeys, values, keys]) device.release(tensor);
      return result;
    },
  };
}
