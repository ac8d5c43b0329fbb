import { useState } from "preact/hooks";
import { bytes, count } from "../format";
import { Meter } from "../parts/meter";
import { Slider } from "../parts/slider";
import { TokenText } from "../parts/token-text";
import { models } from "../state/bench";
import { task } from "../state/task";
import {
  conversations,
  divergence,
  forgetWriting,
  say,
  sheets,
  writeOn,
  written,
  type WritingSettings,
} from "../state/writing";
import { cacheKinds, type CacheKind, type OpenedModel } from "../worker/description";

/** Both models continue the same text, or answer in conversations, side by side. */
export function WriteView() {
  return (
    <>
      <PromptForm />
      <div class="columns sheets">
        {models.value.map((model) => (
          <Sheet key={model.place} model={model} />
        ))}
      </div>
      {divergence.value && (
        <section aria-labelledby="divergence-heading">
          <h2 id="divergence-heading">Where they differ</h2>
          <p>
            The original's text, token by token. The stronger the colour, the further the converted
            model's prediction is from the original's (Kullback-Leibler divergence). Choose a token
            to look inside.
          </p>
          <TokenText tokens={divergence.value} />
        </section>
      )}
      <CacheBudget />
    </>
  );
}

function PromptForm() {
  const chatty = models.value.every(({ chat }) => chat);
  const [chat, setChat] = useState(false);
  const [prompt, setPrompt] = useState("ROMEO:\n");
  const [settings, setSettings] = useState<WritingSettings>({
    maxTokens: 60,
    temperature: 0,
    seed: 1,
  });
  const busy = task.value !== undefined;
  const set = (change: Partial<WritingSettings>) => setSettings({ ...settings, ...change });
  const talks = chat && chatty;
  const submit = async () => {
    if (!talks) return writeOn(prompt, settings);
    setPrompt("");
    return say(prompt, settings);
  };
  return (
    <form
      class="prompt"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {chatty && (
        <fieldset class="row">
          <legend class="hidden">What to do</legend>
          <label class="check">
            <input type="radio" name="mode" checked={!talks} onChange={() => setChat(false)} />
            Continue a text
          </label>
          <label class="check">
            <input type="radio" name="mode" checked={talks} onChange={() => setChat(true)} />
            Chat
          </label>
        </fieldset>
      )}
      <label for="prompt">{talks ? "Your message" : "Text to continue"}</label>
      <textarea
        id="prompt"
        rows={2}
        value={prompt}
        onInput={({ currentTarget }) => setPrompt(currentTarget.value)}
      />
      <details class="settings-of">
        <summary>
          {settings.maxTokens} tokens at temperature {settings.temperature}
        </summary>
        <div class="row settings">
          <Slider
            name="Tokens"
            min={10}
            max={300}
            step={10}
            value={settings.maxTokens}
            text={String(settings.maxTokens)}
            onInput={(maxTokens) => set({ maxTokens })}
          />
          <Slider
            name="Temperature"
            min={0}
            max={1.5}
            step={0.1}
            value={settings.temperature}
            text={
              settings.temperature === 0
                ? "0: the likeliest token"
                : settings.temperature.toFixed(1)
            }
            onInput={(temperature) => set({ temperature })}
          />
          <Slider
            name="Seed"
            min={1}
            max={50}
            step={1}
            value={settings.seed}
            text={String(settings.seed)}
            onInput={(seed) => set({ seed })}
          />
        </div>
      </details>
      <div class="row">
        <button type="submit" class="primary" disabled={busy || prompt === ""}>
          {models.value.length > 1 ? "Let both write" : "Let it write"}
        </button>
        {written.value && (
          <button type="button" class="quiet" disabled={busy} onClick={forgetWriting}>
            Start anew
          </button>
        )}
      </div>
    </form>
  );
}

const kindNames: Readonly<Record<CacheKind, string>> = {
  f32: "float32",
  bf16: "bfloat16",
  i8: "8-bit integers",
};

/** How long a text may become in a given memory. */
function CacheBudget() {
  const [power, setPower] = useState(28);
  const [kind, setKind] = useState<CacheKind>("bf16");
  const memory = 2 ** power;
  const most = Math.max(...models.value.map(({ cacheBytes }) => memory / cacheBytes[kind]));
  return (
    <details class="card budget">
      <summary>What fits in a given memory</summary>
      <div class="row settings">
        <Slider
          name="Memory for the cache"
          min={20}
          max={36}
          step={1}
          value={power}
          text={bytes(memory)}
          onInput={setPower}
        />
        <p class="field">
          <label for="kind">Numbers kept as</label>
          <select
            id="kind"
            value={kind}
            onChange={({ currentTarget }) => setKind(currentTarget.value as CacheKind)}
          >
            {cacheKinds.map((name) => (
              <option key={name} value={name}>
                {kindNames[name]}
              </option>
            ))}
          </select>
        </p>
      </div>
      <dl class="meters">
        {models.value.map(({ place, name, cacheBytes }) => (
          <Meter
            key={place}
            name={name}
            value={`${count(Math.floor(memory / cacheBytes[kind]))} tokens`}
            part={memory / cacheBytes[kind] / most}
          />
        ))}
      </dl>
    </details>
  );
}

function Sheet({ model }: { readonly model: OpenedModel }) {
  const sheet = sheets.value[model.place];
  const most = Math.max(1, ...Object.values(sheets.value).map(({ cacheBytes }) => cacheBytes));
  const { prompt, chat } = written.value ?? { prompt: "", chat: false };
  const before = chat ? (conversations.value[model.place] ?? []) : [];
  const current = before.at(-1)?.content === sheet?.text ? before.slice(0, -2) : before;
  return (
    <section class={`card sheet ${model.place}`} aria-labelledby={`sheet-${model.place}`}>
      <h2 id={`sheet-${model.place}`}>
        {model.name} <span class="tag">{model.attention === "gqa" ? "original" : "latent"}</span>
      </h2>
      <dl class="meters">
        <Meter
          name="Cache of this text"
          value={sheet ? bytes(sheet.cacheBytes) : "–"}
          part={sheet ? sheet.cacheBytes / most : 0}
        />
        <Meter
          name="Speed"
          value={
            sheet && sheet.tokensPerSecond > 0 ? `${count(sheet.tokensPerSecond)} tokens/s` : "–"
          }
        />
        <Meter name="Tokens" value={sheet ? count(sheet.tokens) : "–"} />
      </dl>
      <div class="text" tabIndex={0} role="region" aria-label={`Text of ${model.name}`}>
        {current.map(({ role, content }, index) => (
          <p key={index} class={role}>
            {String(content)}
          </p>
        ))}
        <p>
          <span class="given">{chat ? `${prompt}\n\n` : prompt}</span>
          {sheet?.text}
        </p>
      </div>
    </section>
  );
}
