/** What a server takes from its clients. Every limit has a default. */
export interface Limits {
  /** Bytes of a request's body (default 1 MiB). */
  readonly bodyBytes: number;
  /** Choices per request (default 16). */
  readonly choices: number;
  /** Prompts per request, each with that many choices (default 16). */
  readonly prompts: number;
  /** Stop strings (default 16), and characters of each (default 256). */
  readonly stops: number;
  readonly stopCharacters: number;
  /** Likeliest alternatives per token (default 20). */
  readonly alternatives: number;
  /** Requests that are open at once, waiting ones included (default 256). */
  readonly requests: number;
  /** Tokens per choice where a request does not say (default 1024, or what the context has room for). */
  readonly defaultTokens: number;
  /** Bytes of a streamed answer that wait for a slow reader before it is dropped (default 256 KiB). */
  readonly unreadBytes: number;
  /** Milliseconds that a reader may take nothing although something is there (default 30,000). */
  readonly stalledMilliseconds: number;
}

export const defaultLimits: Limits = {
  bodyBytes: 1 << 20,
  choices: 16,
  prompts: 16,
  stops: 16,
  stopCharacters: 256,
  alternatives: 20,
  requests: 256,
  defaultTokens: 1024,
  unreadBytes: 256 << 10,
  stalledMilliseconds: 30_000,
};
