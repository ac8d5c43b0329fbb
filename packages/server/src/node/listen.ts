import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:http";
import { getRequestListener } from "@hono/node-server";
import type { OpenAiHandler } from "../handler";

export interface ListenOptions {
  /** Address to listen on (default 127.0.0.1: this machine only). */
  readonly host?: string | undefined;
  /** Default 0: a free one. */
  readonly port?: number | undefined;
  readonly connections?: Partial<ConnectionLimits> | undefined;
}

/** What a connection may take. Node's own defaults wait a minute for headers and look every half minute. */
export interface ConnectionLimits {
  /** Bytes of all headers together (default 16 KiB); more are answered with 431. */
  readonly headerBytes: number;
  /** Milliseconds until all headers are there (default 10,000), and the body too (default 30,000). */
  readonly headersMilliseconds: number;
  readonly requestMilliseconds: number;
  /** Milliseconds that an idle connection is kept (default 5,000). */
  readonly idleMilliseconds: number;
  /** Connections at once (default 512); further ones are closed at once. */
  readonly connections: number;
}

const defaultConnections: ConnectionLimits = {
  headerBytes: 16 << 10,
  headersMilliseconds: 10_000,
  requestMilliseconds: 30_000,
  idleMilliseconds: 5000,
  connections: 512,
};

/** Milliseconds between two looks for connections that are too slow. */
const checkInterval = 500;

/** A server that listens. */
export interface Listening {
  readonly host: string;
  readonly port: number;
  /** `http://host:port` */
  readonly url: string;
  /**
   * Refuses new requests, lets the open ones finish for at most so many milliseconds (default 30,000), then closes every connection.
   * Resolves to the number of requests that were cut off.
   */
  close(patience?: number): Promise<number>;
}

/** Answers HTTP with a handler. Throws the operating system's error where the address cannot be had. */
export async function listen(
  handler: OpenAiHandler,
  { host = "127.0.0.1", port = 0, connections }: ListenOptions = {},
): Promise<Listening> {
  const limits = { ...defaultConnections, ...connections };
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMilliseconds,
      requestTimeout: limits.requestMilliseconds,
      keepAliveTimeout: limits.idleMilliseconds,
      connectionsCheckingInterval: Math.min(checkInterval, limits.headersMilliseconds),
      noDelay: true,
    },
    getRequestListener(
      (request, { outgoing }) => handler.fetch(request, () => void outgoing.destroy()),
      { overrideGlobalObjects: false },
    ),
  );
  server.maxConnections = limits.connections;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    host,
    port: address.port,
    url: `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`,
    close: (patience = 30_000) => close(server, handler, patience),
  };
}

async function close(server: Server, handler: OpenAiHandler, patience: number): Promise<number> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const outOfPatience = new Promise<void>((resolve) => (timer = setTimeout(resolve, patience)));
  await Promise.race([handler.drain(), outOfPatience]);
  clearTimeout(timer);
  const cut = handler.inFlight;
  const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
  // What was answered may still be on its way to a reader who has not taken it.
  if (cut === 0) server.closeIdleConnections();
  else server.closeAllConnections();
  const last = setTimeout(() => server.closeAllConnections(), 1000);
  await closed;
  clearTimeout(last);
  return cut;
}
