import { describe, expect, it } from "vitest";
import { metric, runningServer, sampleWorker, until } from "../testing/running-server";

const post = (url: string, body: object, init: RequestInit = {}) =>
  fetch(`${url}/v1/completions`, {
    method: "POST",
    body: JSON.stringify({ model: "sample", max_tokens: 4, ...body }),
    headers: { "content-type": "application/json" },
    ...init,
  });

const megabytes = () => process.memoryUsage().rss / 1e6;

/** Runs `task` for every number below `count`, so many at once. */
async function together(count: number, width: number, task: (index: number) => Promise<void>) {
  let next = 0;
  const lane = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: width }, lane));
}

/** Megabytes per thousand requests by least squares, over measurements at equal distances. */
function slope(values: readonly number[], requestsBetween: number): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const [up, across] = values.reduce(
    ([xy, xx], value, x) => [xy + (x - middle) * (value - mean), xx + (x - middle) ** 2],
    [0, 0],
  );
  return (up / across / requestsBetween) * 1000;
}

describe("a server", () => {
  it("takes no more memory after four thousand requests than after one thousand", async ({
    task,
  }) => {
    const { url } = await runningServer(await sampleWorker());
    const formats = [undefined, { type: "json_object" }];
    const round = (size: number, offset: number) =>
      together(size, 8, async (index) => {
        const number = offset + index;
        const response = await post(url, {
          // Prompts that are all different, so that the cache turns over.
          prompt: `Scene ${number}: ${"words ".repeat(number % 40)}`,
          stream: number % 2 === 0,
          response_format: formats[number % formats.length],
          n: 1 + (number % 3),
          logprobs: number % 5 === 0 ? 2 : undefined,
        });
        expect(response.status).toBe(200);
        await response.arrayBuffer();
      });
    await round(1000, 0);
    const measured = [megabytes()];
    for (let part = 1; part <= 6; part++) {
      await round(500, 500 + part * 500);
      measured.push(megabytes());
    }
    console.log(
      "megabytes after 1,000, 1,500, … requests:",
      measured.map((value) => value.toFixed(0)).join(" "),
    );
    expect(slope(measured, 500)).toBeLessThan(10);
    expect(await metric(url, "requests_in_flight")).toBe(0);
    expect(await metric(url, "engine_running")).toBe(0);
    task.meta.counts = { requests: 4000 };
  });

  it("is idle within a second after five hundred readers have left at any moment", async ({
    task,
  }) => {
    const { url } = await runningServer(await sampleWorker());
    let cut = 0;
    await together(500, 24, async (index) => {
      const controller = new AbortController();
      const milliseconds = (index * 37) % 120;
      setTimeout(() => controller.abort(), milliseconds);
      try {
        const options = { prompt: "ROMEO:", max_tokens: 200, stream: index % 3 !== 0 };
        const response = await post(url, options, { signal: controller.signal });
        await response.arrayBuffer();
      } catch {
        cut++;
      }
    });
    expect(cut).toBeGreaterThan(400);
    const idle = async () =>
      (await metric(url, "requests_in_flight")) + (await metric(url, "engine_running")) === 0;
    // What readers sent before they left may still be on its way; the server takes connections in order.
    await idle();
    console.log(`idle after ${(await until(idle, 1000)).toFixed(0)} ms`);
    expect((await post(url, { prompt: "a" })).status).toBe(200);
    task.meta.counts = { requests: 501 };
  });

  it("answers a hundred streams at once, each with the text it would have alone", async ({
    task,
  }) => {
    const { url } = await runningServer(await sampleWorker({ capacity: 16_384, maxWaiting: 256 }));
    const ask = async (index: number) => {
      const prompt = `Scene ${index % 10}.\nROMEO:`;
      const response = await post(url, { prompt, max_tokens: 12, temperature: 0, stream: true });
      return (await response.text()).replace(/"(id|created)":("[^"]*"|\d+)/g, "");
    };
    const alone: string[] = [];
    for (let index = 0; index < 10; index++) alone.push(await ask(index));
    const all = await Promise.all(Array.from({ length: 100 }, (_, index) => ask(index)));
    expect(all).toEqual(Array.from({ length: 100 }, (_, index) => alone[index % 10]));
    task.meta.counts = { requests: 110 };
  });
});
