import { runInWorker } from "@transmla/server/node";
import type { ModelStorage } from "./command";
import { openDevice, type DeviceName, type DeviceOptions } from "./devices";
import { openFiles } from "./model-location";
import { loadTextModel } from "./text-model";

/** What `transmla serve` runs in its worker. */
export interface ServeData {
  readonly path: string;
  /** The model's name for clients. */
  readonly id: string;
  readonly device: DeviceName;
  readonly compute: DeviceOptions;
  readonly storage: ModelStorage;
  readonly cacheBytes: number | undefined;
}

runInWorker(async (data, onProgress) => {
  const { path, id, device: name, compute, storage, cacheBytes } = data as ServeData;
  const files = await openFiles(path);
  const device = await openDevice(name, compute);
  const loaded = await loadTextModel(files, device, { storage, cacheBytes, onProgress });
  return {
    engine: loaded.text,
    id,
    contextTokens: loaded.contextTokens,
    close: async () => {
      await loaded.close();
      device.destroy();
      await files.close();
    },
  };
});
