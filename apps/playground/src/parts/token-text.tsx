import { useState } from "preact/hooks";
import { percent, significant } from "../format";
import { goTo } from "../state/route";
import { chosenToken, lookAt } from "../state/writing";
import { task } from "../state/task";
import type { TokenDivergence } from "../worker/operations/diverge";

/** Divergence, in nats, from which on a token has the full colour. */
const FULL = 1;

/** A text whose tokens are buttons, coloured by how much two models differ before them. */
export function TokenText({ tokens }: { readonly tokens: readonly TokenDivergence[] }) {
  const [shown, setShown] = useState<number | undefined>(undefined);
  const [focus, setFocus] = useState(0);
  const choose = async (index: number) => {
    await lookAt(index);
    if (chosenToken.value === index) goTo("inside");
  };
  const move = (event: KeyboardEvent, index: number) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step === undefined ? undefined : index + step;
    if (next === undefined || next < 0 || next >= tokens.length) return;
    event.preventDefault();
    setFocus(next);
    const list = (event.currentTarget as HTMLElement).parentElement!;
    (list.children[next] as HTMLElement).focus();
  };
  return (
    <>
      <div class="tokens" role="group" aria-label="Tokens; arrow keys go from one to the next">
        {tokens.map(({ text, before }, index) => (
          <button
            key={index}
            type="button"
            tabIndex={index === focus ? 0 : -1}
            disabled={task.value !== undefined}
            aria-pressed={chosenToken.value === index}
            aria-label={`Token ${index}: ${visible(text)}, divergence ${before ? significant(before.kl) : "none"}`}
            style={{ "--heat": `${Math.round(100 * Math.min(1, (before?.kl ?? 0) / FULL))}%` }}
            onKeyDown={(event) => move(event, index)}
            onFocus={() => setShown(index)}
            onMouseEnter={() => setShown(index)}
            onClick={() => void choose(index)}
          >
            {visible(text)}
          </button>
        ))}
      </div>
      <p class="fine readout">{shown === undefined ? " " : describe(tokens[shown]!, shown)}</p>
    </>
  );
}

function describe({ text, before }: TokenDivergence, index: number): string {
  const name = `Token ${index}, “${visible(text)}”`;
  if (!before) return `${name}: the first, before which nothing was known.`;
  const { kl, original, converted, likeliestOriginal, likeliestConverted } = before;
  return (
    `${name}: divergence ${significant(kl)} nats. The original gave it ${percent(original, 1)} (likeliest “${visible(likeliestOriginal)}”), ` +
    `the converted ${percent(converted, 1)} (likeliest “${visible(likeliestConverted)}”).`
  );
}

/** White space that can be seen. */
export const visible = (text: string): string => text.replaceAll("\n", "⏎").replaceAll(" ", "␣");
