import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { significant } from "../format";
import { colour, scheme } from "./theme";

/** One line, or one set of points, over the chart's `x`. */
export interface Series {
  readonly name: string;
  /** Custom property of the colour, without dashes. */
  readonly colour: string;
  readonly values: readonly (number | null)[];
  readonly points?: boolean;
}

export interface ChartProps {
  readonly title: string;
  readonly xName: string;
  readonly yName: string;
  readonly x: readonly number[];
  readonly series: readonly Series[];
  /** Logarithmic scale of y. */
  readonly logarithmic?: boolean;
  /** How a value of x is written. */
  readonly xText?: (value: number) => string;
}

const HEIGHT = 240;

/** A plot with its numbers as a table beneath. */
export function Chart(props: ChartProps) {
  const { title, xName, yName, x, series, logarithmic = false, xText = String } = props;
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = place.current!;
    const plot = new uPlot(options(props, element.clientWidth), data(props), element);
    const observer = new ResizeObserver(() => {
      plot.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [x, series, logarithmic, scheme.value]);
  return (
    <figure class="chart">
      <figcaption>
        {title}
        <span class="keys-of">
          {series.map(({ name, colour: variable }) => (
            <span key={name} class={`key colour-${variable}`}>
              {name}
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={place} class="plot" aria-hidden="true" />
      <details>
        <summary>As numbers</summary>
        <div class="scroll" tabIndex={0} role="region" aria-label={`${title}: numbers`}>
          <table>
            <thead>
              <tr>
                <th scope="col">{xName}</th>
                {series.map(({ name }) => (
                  <th key={name} scope="col">
                    {name}
                    <span class="hidden">, {yName}</span>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {x.map((value, row) => (
                <tr key={row}>
                  <th scope="row">{xText(value)}</th>
                  {series.map(({ name, values }) => (
                    <td key={name}>{numberText(values[row])}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

const numberText = (value: number | null | undefined) =>
  value === null || value === undefined ? "–" : significant(value);

function data({ x, series, logarithmic }: ChartProps): uPlot.AlignedData {
  // A logarithm knows no zero: such points are left out.
  const drawn = (value: number | null) =>
    value === null || (logarithmic && value <= 0) ? null : value;
  return [[...x], ...series.map(({ values }) => values.map(drawn))] as uPlot.AlignedData;
}

function options(props: ChartProps, width: number): uPlot.Options {
  const { xName, yName, x, series, logarithmic, xText = String } = props;
  const axis = (label: string): uPlot.Axis => ({
    label,
    labelSize: 22,
    stroke: colour("muted"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1 },
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
  });
  const lone = x.length === 1;
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, ...(lone ? { range: [x[0]! - 1, x[0]! + 1] } : {}) },
      y: logarithmic ? { distr: 3 } : {},
    },
    axes: [
      { ...axis(xName), values: (_, ticks) => ticks.map((tick) => xText(tick)) },
      {
        ...axis(yName),
        size: 58,
        values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : significant(tick))),
      },
    ],
    series: [
      {},
      ...series.map((one): uPlot.Series => ({
        label: one.name,
        stroke: colour(one.colour),
        width: one.points ? 0 : 2,
        points: one.points ? { show: true, size: 11, fill: colour(one.colour) } : { show: lone },
      })),
    ],
  };
}
