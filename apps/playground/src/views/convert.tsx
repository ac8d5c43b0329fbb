import { useEffect, useState } from "preact/hooks";
import { call } from "../client";
import { bytes, count, roughly } from "../format";
import { Slider } from "../parts/slider";
import { device, original } from "../state/bench";
import { goTo } from "../state/route";
import { convert } from "../state/session";
import { task } from "../state/task";
import type { ConversionChoice } from "../worker/operations/convert";

type Method = ConversionChoice["method"];

const methods: Readonly<Record<Method, { readonly title: string; readonly text: string }>> = {
  "output-aware": {
    title: "Output-aware",
    text: "Our compression: keeps what the logits and the output need most, measured on a text.",
  },
  transmla: {
    title: "TransMLA",
    text: "The published compression: RoRoPE, FreqFold and a balanced joint PCA.",
  },
  exact: {
    title: "Exact",
    text: "The same logits from a cache of the same size. Nothing is measured or lost.",
  },
};

/** Settings of a conversion. */
export function ConvertView() {
  const [method, setMethod] = useState<Method>("output-aware");
  const [keep, setKeep] = useState(25);
  const [ropeDim, setRopeDim] = useState<number | undefined>(undefined);
  const [tokens, setTokens] = useState(16_384);
  const [text, setText] = useState<{ readonly name: string; readonly text: string } | undefined>();
  const model = original.value!;
  const compresses = method !== "exact";
  const choice: ConversionChoice = { method, keep: keep / 100, ropeDim, tokens, text: text?.text };
  const estimate = useEstimate(choice, model.name);
  const start = async () => {
    if (await convert(choice)) goTo("results");
  };
  const busy = task.value !== undefined;
  return (
    <form
      class="convert"
      onSubmit={(event) => {
        event.preventDefault();
        void start();
      }}
    >
      <p class="lead">
        {model.name} caches {count(model.kvCacheNumbersPerToken)} numbers per token. Choose how many
        the converted model may keep.
      </p>
      <fieldset class="methods">
        <legend>Method</legend>
        {(Object.keys(methods) as Method[]).map((name) => (
          <label key={name} class="card choice">
            <input
              type="radio"
              name="method"
              checked={method === name}
              onChange={() => setMethod(name)}
            />
            <strong>{methods[name].title}</strong>
            <span>{methods[name].text}</span>
          </label>
        ))}
      </fieldset>
      {compresses && (
        <fieldset>
          <legend>Sizes</legend>
          <Slider
            name="Kept cache"
            min={5}
            max={95}
            step={1}
            value={keep}
            text={`${keep} %: ${count((keep / 100) * model.kvCacheNumbersPerToken)} numbers per token`}
            onInput={setKeep}
          />
          <RopeSlider keep={keep} value={ropeDim} onInput={setRopeDim} />
          <Slider
            name="Calibration"
            min={1024}
            max={32_768}
            step={1024}
            value={tokens}
            text={`${count(tokens)} tokens`}
            onInput={setTokens}
          />
          <TextFile name={text?.name} onText={setText} />
        </fieldset>
      )}
      <p class="estimate">{estimate}</p>
      <button type="submit" class="primary" disabled={busy}>
        {compresses ? `Convert to ${keep} % of the cache` : "Convert exactly"}
      </button>
    </form>
  );
}

/** The rotated part of the cache: chosen on the calibration text unless it is set. */
function RopeSlider(props: {
  readonly keep: number;
  readonly value: number | undefined;
  readonly onInput: (value: number | undefined) => void;
}) {
  const { keep, value, onInput } = props;
  const layer = original.value!.perLayer[0]!.cacheNumbers;
  const budget = Math.round((keep / 100) * layer);
  const most = Math.max(2, 2 * Math.floor((budget - 1) / 2));
  const shown = Math.min(value ?? 2 * Math.round(budget / 8), most);
  return (
    <>
      <label class="check">
        <input
          type="checkbox"
          checked={value === undefined}
          onChange={({ currentTarget }) => onInput(currentTarget.checked ? undefined : shown)}
        />
        Choose the rotated size on the calibration text
      </label>
      {value !== undefined && (
        <Slider
          name="Rotated size"
          min={2}
          max={most}
          step={2}
          value={shown}
          text={`${shown} of ${budget} numbers per layer carry positions`}
          onInput={onInput}
        />
      )}
    </>
  );
}

function TextFile(props: {
  readonly name: string | undefined;
  readonly onText: (text: { readonly name: string; readonly text: string } | undefined) => void;
}) {
  const { name, onText } = props;
  const read = async (file: File | undefined) =>
    onText(file && { name: file.name, text: await file.text() });
  return (
    <p class="field">
      <label class="button">
        Calibrate on a text of yours
        <input
          type="file"
          accept=".txt,.md,text/plain"
          onChange={({ currentTarget }) => void read(currentTarget.files?.[0])}
        />
      </label>{" "}
      {name ??
        "Otherwise plays by Shakespeare: right for the sample, better replaced for other models."}
    </p>
  );
}

/** What the conversion is going to take, or why it is refused, in words. */
function useEstimate(choice: ConversionChoice, model: string): string {
  const [text, setText] = useState("");
  const { method, keep, ropeDim, tokens } = choice;
  const threads = device.value?.threads ?? 1;
  const idle = task.value === undefined;
  useEffect(() => {
    if (!idle) return undefined;
    const stop = new AbortController();
    const input = { method, keep, ropeDim, tokens, threads };
    const timer = setTimeout(() => {
      call("estimate", input, { signal: stop.signal }).then(
        ({ seconds, memoryBytes, outputBytes }) =>
          setText(
            `Takes about ${roughly(seconds)} on an ordinary machine and ${bytes(memoryBytes)} of memory; the result has ${bytes(outputBytes)}.`,
          ),
        (error: Error) => {
          if (!stop.signal.aborted) setText(error.message);
        },
      );
    }, 150);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [model, method, keep, ropeDim, tokens, threads, idle]);
  return text;
}
