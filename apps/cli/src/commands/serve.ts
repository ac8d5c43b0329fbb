import { openaiHandler } from "@transmla/server";
import { listen, workerService, type Listening, type WorkerService } from "@transmla/server/node";
import { defineCommand, type CommandContext } from "../command";
import { CliError, usage } from "../errors";
import { byteCount, filled, integer, optional, toggle, withDefault } from "../flags";
import { shortName, withModel, type LocatedModel } from "../model-location";
import type { ServeData } from "../serve-worker";
import { count } from "../terminal/format";

/** Where the key is looked for when no flag gives one: command lines can be seen by everybody on the machine. */
const keyVariable = "TRANSMLA_API_KEY";

export const serveCommand = defineCommand({
  name: "serve",
  summary: "answer the OpenAI protocol over HTTP",
  arguments: [{ name: "model", description: "folder, .gguf file, hub id or sample" }],
  flags: {
    host: withDefault("--host <address>", "address to listen on", filled, "127.0.0.1"),
    port: withDefault("--port <n>", "0 takes a free one", integer(0, 65_535), 8080),
    apiKey: {
      flags: "--api-key <key>",
      description: `wanted from clients; may be given several times (default: $${keyVariable})`,
      parse: filled,
      fallback: [] as readonly string[],
      repeatable: true,
    },
    withoutKey: toggle("--without-key", "serve a public address to anybody, without a key"),
    allowHost: {
      flags: "--allow-host <name>",
      description: "name that clients may use for this server, beside its address",
      parse: filled,
      fallback: [] as readonly string[],
      repeatable: true,
    },
    name: optional(
      "--name <id>",
      "the model's name for clients (default: that of its file)",
      filled,
    ),
    cacheBytes: optional(
      "--cache-bytes <size>",
      "memory of the cache, such as 500MB (default: eight contexts, 512MB at most)",
      byteCount,
    ),
    patience: withDefault(
      "--patience <seconds>",
      "how long open requests may take when it stops",
      integer(0, 86_400),
      30,
    ),
  },
  examples: [
    ["transmla serve sample", "http://127.0.0.1:8080/v1, for this machine only"],
    [
      "transmla serve ./mla --host 0.0.0.0 --api-key secret --cache-bytes 2GB",
      `for others, with a key, which is better hidden in $${keyVariable}`,
    ],
  ],
  action: (context, [model = ""], flags) => {
    const apiKeys = flags.apiKey.length > 0 ? flags.apiKey : keysOf(context);
    const isPublic = !isLoopback(flags.host);
    if (isPublic && apiKeys.length === 0 && !flags.withoutKey) {
      throw usage(
        `${flags.host} can be reached from other machines: give --api-key (or ${keyVariable}), or --without-key if anybody may use it.`,
        { host: flags.host },
      );
    }
    return withModel(context, model, async (located) => {
      const id = flags.name ?? shortName(located.name).replace(/\.gguf$/, "");
      const failed = new AbortController();
      const service = await startService(context, located, id, flags.cacheBytes, (error) =>
        failed.abort(error),
      );
      try {
        const handler = openaiHandler(service, {
          apiKeys,
          allowedHosts: hostNames(flags.host, isPublic, flags.allowHost),
          onFailure: (error) => context.terminal.warn(String(error)),
        });
        const server = await listenAt(handler, flags.host, flags.port);
        announce(context, service, server, { apiKeys, isPublic });
        const started = performance.now();
        await aborted(AbortSignal.any([context.signal, failed.signal]));
        if (handler.inFlight > 0) {
          context.terminal.note(
            `stopping: ${count(handler.inFlight)} open requests are finished first`,
          );
        }
        const cutOff = await server.close(failed.signal.aborted ? 0 : flags.patience * 1000);
        if (failed.signal.aborted) throw serviceDown(failed.signal.reason);
        context.terminal.note(
          cutOff === 0 ? "stopped" : `stopped; ${count(cutOff)} requests were cut off`,
        );
        const seconds = (performance.now() - started) / 1000;
        return { url: server.url, model: id, requests: handler.answered, cutOff, seconds };
      } finally {
        await service.close();
      }
    });
  },
});

function keysOf({ env }: CommandContext): readonly string[] {
  const key = env[keyVariable];
  return key ? [key] : [];
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Names that clients may use; undefined for any, which a public address has no way to know. */
function hostNames(
  host: string,
  isPublic: boolean,
  more: readonly string[],
): readonly string[] | undefined {
  if (!isPublic) return ["localhost", "127.0.0.1", "[::1]", host, ...more];
  return more.length > 0 ? [host, ...more] : undefined;
}

function startService(
  context: CommandContext,
  { name, path }: LocatedModel,
  id: string,
  cacheBytes: number | undefined,
  onFailure: (error: unknown) => void,
): Promise<WorkerService> {
  const { terminal, storage, compute, deviceName: device, signal } = context;
  const label = `loading ${shortName(name)}`;
  terminal.working(label);
  const data: ServeData = { path, id, device, compute, storage, cacheBytes };
  const onProgress = terminal.progressOf(label) as (progress: unknown) => void;
  return workerService(workerModule(), { data, onProgress, onFailure, signal });
}

/** The worker beside the built program; the sources themselves find it where they are built to. */
function workerModule(): URL {
  const isSource = import.meta.url.endsWith(".ts");
  return new URL(isSource ? "../../dist/serve-worker.js" : "./serve-worker.js", import.meta.url);
}

async function listenAt(
  handler: Parameters<typeof listen>[0],
  host: string,
  port: number,
): Promise<Listening> {
  try {
    return await listen(handler, { host, port });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const reasons: Readonly<Record<string, string>> = {
      EADDRINUSE: "is taken already: stop what uses it, or give another --port",
      EACCES: "needs rights that this user has not: give a --port from 1024 on",
      EADDRNOTAVAIL: "is no address of this machine: give another --host",
      ENOTFOUND: "is no known name: give another --host",
    };
    const reason = reasons[code ?? ""] ?? `cannot be listened on (${String(code)})`;
    throw new CliError("AddressUnusable", `${host}:${port} ${reason}.`, { host, port }, { cause });
  }
}

function announce(
  { terminal }: CommandContext,
  { model, load }: WorkerService,
  { url }: Listening,
  { apiKeys, isPublic }: { readonly apiKeys: readonly string[]; readonly isPublic: boolean },
): void {
  const { bold, cyan, dim } = terminal.colour;
  terminal.print(
    `${bold(model.id)} at ${cyan(`${url}/v1`)}`,
    dim(
      `context ${count(model.contextTokens)} tokens · cache ${count(load.capacityTokens)} tokens`,
    ),
    dim(
      apiKeys.length > 0
        ? "clients need the API key"
        : isPublic
          ? "anybody who reaches this machine may use it"
          : "for programs on this machine, without a key",
    ),
    dim("Ctrl-C stops it after the open requests"),
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function serviceDown(cause: unknown): CliError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CliError("ServiceDown", `what runs the model has stopped: ${why}`, {}, { cause });
}
