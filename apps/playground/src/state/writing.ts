import { signal } from "@preact/signals";
import type { ChatMessage } from "@transmla/generation";
import { call } from "../client";
import type { TokenDivergence } from "../worker/operations/diverge";
import type { PlacedTrace } from "../worker/operations/trace";
import type { WrittenPiece } from "../worker/operations/write";
import type { Place } from "../worker/workbench";
import { models } from "./bench";
import { runTask } from "./task";

/** What one model has written so far, and its meters. */
export interface Sheet {
  readonly text: string;
  readonly tokens: number;
  readonly tokensPerSecond: number;
  readonly cacheBytes: number;
}

/** How to write. */
export interface WritingSettings {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
}

export const sheets = signal<Readonly<Partial<Record<Place, Sheet>>>>({});

/** What was continued: shown before the texts. */
export const written = signal<{ readonly prompt: string; readonly chat: boolean } | undefined>(
  undefined,
);

/** The conversations, one per model: each remembers its own answers. */
export const conversations = signal<Readonly<Partial<Record<Place, readonly ChatMessage[]>>>>({});

/** The original's text, token by token, with what the models thought of it. */
export const divergence = signal<readonly TokenDivergence[] | undefined>(undefined);

/** Ids of that text. */
export const textTokens = signal<readonly number[]>([]);

/** The token that is looked at, and the traces of it. */
export const chosenToken = signal<number | undefined>(undefined);
export const traces = signal<readonly PlacedTrace[]>([]);

const empty: Sheet = { text: "", tokens: 0, tokensPerSecond: 0, cacheBytes: 0 };

export function forgetWriting(): void {
  sheets.value = {};
  written.value = undefined;
  conversations.value = {};
  forgetTokens();
}

function forgetTokens(): void {
  divergence.value = undefined;
  textTokens.value = [];
  chosenToken.value = undefined;
  traces.value = [];
}

/** Continues a text with every open model, then compares what they thought of the original's tokens. */
export async function writeOn(prompt: string, settings: WritingSettings): Promise<void> {
  await write(prompt, prompt, false, settings);
}

/** Says something to every open model. */
export async function say(message: string, settings: WritingSettings): Promise<void> {
  const places = models.value.map(({ place }) => place);
  const told = (place: Place) => [
    ...(conversations.value[place] ?? []),
    { role: "user", content: message },
  ];
  const prompt = Object.fromEntries(places.map((place) => [place, told(place)]));
  await write(message, prompt, true, settings);
  const answered = (place: Place) => [
    ...told(place),
    { role: "assistant", content: sheets.value[place]?.text ?? "" },
  ];
  conversations.value = Object.fromEntries(places.map((place) => [place, answered(place)]));
}

async function write(
  shown: string,
  prompt: Parameters<typeof call<"write">>[1]["prompt"],
  chat: boolean,
  settings: WritingSettings,
): Promise<void> {
  sheets.value = {};
  forgetTokens();
  written.value = { prompt: shown, chat };
  const writings = await runTask("Writing", ({ signal: stop, onProgress }) =>
    call(
      "write",
      { prompt, ...settings },
      {
        signal: stop,
        onEvent: (event) => ("place" in event ? addPiece(event) : onProgress(event)),
      },
    ),
  );
  const first = writings?.find(({ place }) => place === "original") ?? writings?.[0];
  if (!first) return;
  textTokens.value = [...first.promptTokens, ...first.tokens];
  if (writings!.length > 1) await compareTokens();
}

function addPiece({ place, text, tokenId, tokensPerSecond, cacheBytes }: WrittenPiece): void {
  const sheet = sheets.value[place] ?? empty;
  const tokens = sheet.tokens + (tokenId === undefined ? 0 : 1);
  const next = { text: sheet.text + text, tokens, tokensPerSecond, cacheBytes };
  sheets.value = { ...sheets.value, [place]: next };
}

async function compareTokens(): Promise<void> {
  const tokens = textTokens.value;
  const result = await runTask("Comparing", ({ signal: stop, onProgress }) =>
    call("diverge", { tokens }, { signal: stop, onEvent: onProgress }),
  );
  if (result) divergence.value = result;
}

/** Looks at what attention does for a token. */
export async function lookAt(index: number): Promise<void> {
  const tokens = textTokens.value.slice(0, index + 1);
  const result = await runTask("Looking inside", ({ signal: stop, onProgress }) =>
    call("trace", { tokens }, { signal: stop, onEvent: onProgress }),
  );
  if (!result) return;
  chosenToken.value = index;
  traces.value = result;
}
