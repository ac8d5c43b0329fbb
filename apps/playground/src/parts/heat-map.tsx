import { useEffect, useRef, useState } from "preact/hooks";
import { significant } from "../format";
import { colour, scheme } from "./theme";

export interface HeatMapProps {
  readonly title: string;
  /** `[rows, columns]` */
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
  /** `part`: from nothing to the largest. `signed`: from minus to plus the largest magnitude. */
  readonly scale: "part" | "signed";
  readonly rowName: (row: number) => string;
  readonly columnName: (column: number) => string;
  /** What the map says, in words. */
  readonly summary: string;
}

/** Numbers as colours. The pointer, or the arrow keys, read single ones. */
export function HeatMap(props: HeatMapProps) {
  const { title, values, rows, columns, scale, rowName, columnName, summary } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [cell, setCell] = useState<readonly [row: number, column: number] | undefined>(undefined);
  useEffect(() => paint(canvas.current!, props), [values, rows, columns, scale, scheme.value]);
  const point = ({ offsetX, offsetY, currentTarget }: MouseEvent) => {
    const { clientWidth, clientHeight } = currentTarget as HTMLCanvasElement;
    setCell([
      Math.min(rows - 1, Math.floor((offsetY / clientHeight) * rows)),
      Math.min(columns - 1, Math.floor((offsetX / clientWidth) * columns)),
    ]);
  };
  const move = (event: KeyboardEvent) => {
    const steps: Readonly<Record<string, readonly [number, number]>> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const [row, column] = cell ?? [0, 0];
    setCell([clamp(row + step[0], rows), clamp(column + step[1], columns)]);
  };
  return (
    <figure class="heat">
      <figcaption>{title}</figcaption>
      <canvas
        ref={canvas}
        width={columns}
        height={rows}
        tabIndex={0}
        role="img"
        aria-label={`${title}. ${summary} Arrow keys read single numbers.`}
        style={{ height: `${Math.min(320, Math.max(96, rows * 14))}px` }}
        onMouseMove={point}
        onClick={point}
        onKeyDown={move}
      />
      <p class="fine readout" aria-live="polite">
        {cell
          ? `${rowName(cell[0])}, ${columnName(cell[1])}: ${significant(values[cell[0] * columns + cell[1]]!)}`
          : summary}
      </p>
    </figure>
  );
}

const clamp = (value: number, size: number) => Math.min(size - 1, Math.max(0, value));

function paint(canvas: HTMLCanvasElement, { values, rows, columns, scale }: HeatMapProps): void {
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  const image = context.createImageData(columns, rows);
  const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
  const [none, plus, minus] = ["heat-none", "heat-plus", "heat-minus"].map((name) =>
    rgb(context, colour(name)),
  ) as [Rgb, Rgb, Rgb];
  for (const [i, value] of values.entries()) {
    const end = scale === "signed" && value < 0 ? minus : plus;
    // A root, because a few large weights would leave the others without colour.
    const part = Math.sqrt(Math.abs(value) / most);
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * i + channel] = none[channel]! + part * (end[channel]! - none[channel]!);
    }
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

type Rgb = readonly number[];

/** The numbers of a CSS colour, by painting it. */
function rgb(context: CanvasRenderingContext2D, value: string): Rgb {
  context.fillStyle = value;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}
