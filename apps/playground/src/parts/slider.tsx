import { useId } from "preact/hooks";

/** A range with its name and its value in words. */
export function Slider(props: {
  readonly name: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly text: string;
  readonly disabled?: boolean;
  readonly onInput: (value: number) => void;
}) {
  const { name, text, onInput, ...range } = props;
  const id = useId();
  return (
    <div class="slider">
      <label for={id}>{name}</label>
      <output for={id}>{text}</output>
      <input
        id={id}
        type="range"
        aria-valuetext={text}
        {...range}
        onInput={({ currentTarget }) => onInput(currentTarget.valueAsNumber)}
      />
    </div>
  );
}
