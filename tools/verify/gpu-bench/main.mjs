// Measures the WebGPU device on this machine's GPU: node tools/verify/gpu-bench/main.mjs [--small] [--json FILE]
// or in a browser: node tools/verify/gpu-bench/main.mjs --page [--small], which prints the address to open.
// Needs `npm run build`; in Node also the package webgpu. tools/verify/gpu-bench/torch_peer.py measures PyTorch on the same card.
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { measure, sizes } from "./measure.mjs";

const { values } = parseArgs({
  options: {
    small: { type: "boolean", default: false },
    page: { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const root = new URL("../../../", import.meta.url);

if (values.page) await servePage();
else await measureHere();

async function measureHere() {
  const { deviceKit } = await import(new URL("packages/kernels/dist/index.js", root));
  const { webgpuDevice } = await import(new URL("packages/kernels-webgpu/dist/index.js", root));
  const device = await webgpuDevice();
  console.log(device.adapter);
  const rows = [];
  const limits = await measure(
    device,
    deviceKit.rowBytes,
    sizes[values.small ? "small" : "full"],
    (row) => {
      rows.push(row);
      console.log(line(row));
    },
  );
  console.log(
    `limits: ${(limits.bandwidth / 1e9).toFixed(1)} GB/s, ${(limits.gemm / 1e12).toFixed(3)} TFLOP/s`,
  );
  if (values.json) {
    const { adapter, subgroupSize } = device;
    await writeFile(values.json, JSON.stringify({ adapter, subgroupSize, limits, rows }, null, 1));
  }
  device.destroy();
}

function line({ what, seconds, gigabytes, teraflops }) {
  const rates = [
    gigabytes === undefined ? "" : `${gigabytes.toFixed(1)} GB/s`,
    teraflops === undefined ? "" : `${teraflops.toFixed(3)} TFLOP/s`,
  ];
  return [
    what.padEnd(34),
    `${(1e6 * seconds).toFixed(0)} us`.padStart(14),
    ...rates.map((r) => r.padStart(16)),
  ].join("");
}

async function servePage() {
  const html = `<!doctype html><meta charset="utf-8"><title>WebGPU bench</title>
<script type="importmap">{"imports": {"@transmla/kernels": "/packages/kernels/dist/index.js"}}</script>
<pre id="out"></pre>
<script type="module">
const out = document.getElementById("out");
const say = (text) => (out.textContent += text + "\\n");
try {
  const { deviceKit } = await import("@transmla/kernels");
  const { webgpuDevice } = await import("/packages/kernels-webgpu/dist/index.js");
  const { measure, sizes } = await import("/tools/verify/gpu-bench/measure.mjs");
  const device = await webgpuDevice();
  say(device.adapter);
  ${line.toString()}
  const limits = await measure(device, deviceKit.rowBytes, sizes.${values.small ? "small" : "full"}, (row) => say(line(row)));
  say("limits: " + JSON.stringify(limits));
  document.title = "done";
} catch (error) {
  say(String(error.stack ?? error));
  document.title = "failed";
}
</script>`;
  const served = /^\/(packages\/[a-z-]+\/dist|tools\/verify\/gpu-bench)\/[\w.-]+\.m?js$/;
  const server = createServer(async ({ url = "/" }, response) => {
    if (url === "/") return response.setHeader("Content-Type", "text/html").end(html);
    const content =
      served.test(url) && (await readFile(new URL(`.${url}`, root)).catch(() => undefined));
    if (!content) return response.writeHead(404).end();
    return response.setHeader("Content-Type", "text/javascript").end(content);
  });
  await new Promise((done) =>
    server.listen(Number(process.env["PORT"] ?? 8080), "127.0.0.1", done),
  );
  console.log(
    `open http://127.0.0.1:${server.address().port}/ in a browser with WebGPU; Ctrl-C ends it`,
  );
}
