import type { ComponentChildren } from "preact";

/** A number with its name, and a bar where it has a whole to be part of. */
export function Meter(props: {
  readonly name: string;
  readonly value: ComponentChildren;
  /** 0 … 1 */
  readonly part?: number | undefined;
}) {
  const { name, value, part } = props;
  return (
    <div class="meter">
      <dt>{name}</dt>
      <dd>
        {value}
        {part !== undefined && (
          <span class="bar" aria-hidden="true">
            <span style={{ width: `${Math.min(100, Math.max(1, 100 * part))}%` }} />
          </span>
        )}
      </dd>
    </div>
  );
}
