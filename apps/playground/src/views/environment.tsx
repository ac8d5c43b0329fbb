import { useDevice } from "../state/session";
import { device } from "../state/bench";
import { task } from "../state/task";
import type { DeviceName } from "../worker/devices";

const names: Readonly<Record<DeviceName, string>> = {
  cpu: "CPU: WebAssembly SIMD, in a worker",
  webgpu: "WebGPU",
};

/** What computes, and what of the browser is missing. */
export function Environment() {
  const report = device.value;
  const gpu = "gpu" in navigator;
  return (
    <section aria-labelledby="device-heading">
      <h2 id="device-heading">What computes</h2>
      <p class="field">
        <label for="device">Device</label>
        <select
          id="device"
          value={report?.name ?? "cpu"}
          disabled={task.value !== undefined}
          onChange={({ currentTarget }) => void useDevice(currentTarget.value as DeviceName)}
        >
          {Object.entries(names).map(([name, text]) => (
            <option key={name} value={name} disabled={name === "webgpu" && !gpu}>
              {text}
            </option>
          ))}
        </select>
      </p>
      <ul class="notes">
        {report?.threads !== undefined && (
          <li>
            {report.threads === 1 ? "One thread" : `${report.threads} threads`}
            {report.threadsReason ? `, not more: ${report.threadsReason}.` : "."}
          </li>
        )}
        <li>
          {gpu
            ? "This browser has WebGPU; whether it allows a GPU shows when you choose it."
            : "This browser has no WebGPU, so the CPU computes."}
        </li>
        <li>gpu.js is left out: it makes its kernels with eval, and this page does without.</li>
      </ul>
    </section>
  );
}
