import { cpuDevice, referenceDevice, type Device } from "@transmla/kernels";

/** Devices by the name that `--device` takes. A new one is one entry. */
const devices = {
  cpu: () => cpuDevice(),
  reference: () => referenceDevice(),
} as const satisfies Readonly<Record<string, () => Device | Promise<Device>>>;

export type DeviceName = keyof typeof devices;

export const deviceNames = Object.keys(devices) as readonly DeviceName[];

/** Makes a device. */
export async function openDevice(name: DeviceName): Promise<Device> {
  return givingWay(await devices[name]());
}

/**
 * Lets the event loop turn before every read. These devices compute on this thread, so that otherwise a Ctrl-C would wait until
 * the work is done.
 */
function givingWay(device: Device): Device {
  const read = device.read.bind(device);
  device.read = async (tensor) => {
    await new Promise<void>((resolve) => void setImmediate(resolve));
    return read(tensor);
  };
  return device;
}
