import type { Curve } from "@transmla/training";
import { bytes, count, duration, rate } from "../../terminal/format";
import { describeObjective } from "./summary";
import type { TrainingJob } from "./run";

/** One line of a chart. */
interface Series {
  readonly name: string;
  readonly points: readonly (readonly [step: number, value: number])[];
  readonly className: string;
}

const [WIDTH, HEIGHT] = [720, 240];
const MARGIN = { left: 64, right: 16, top: 16, bottom: 32 };

/** A page with the curves of a run, in one file without scripts. */
export function reportPage(
  job: TrainingJob,
  { reports, validation }: Curve,
  seconds: number,
): string {
  const tokens = reports.reduce((sum, report) => sum + report.tokens, 0);
  const busy = reports.reduce((sum, report) => sum + report.seconds, 0);
  const line = (
    name: string,
    className: string,
    pick: (report: Curve["reports"][0]) => number,
  ) => ({
    name,
    className,
    points: reports.map((report) => [report.step, pick(report)] as const),
  });
  const facts: readonly (readonly [string, string])[] = [
    ["model", job.model.name],
    ["objective", describeObjective(job.objective, job.teacher?.name)],
    ["trained", job.flags.train],
    ["data", `${job.data.name}, ${count(job.data.documents.count)} documents`],
    ["steps", `${count(reports.length)}, ${count(tokens)} tokens`],
    ["time", `${duration(seconds)}, ${rate(tokens / busy, "tokens")}`],
    ["memory planned", bytes(job.memory.total + job.programBytes)],
    ...validationFacts(validation),
  ];
  const held = validation.map(({ step, nll }) => [step, nll] as const);
  const last = reports.length;
  const charts = [
    chart("Loss", last, [
      line("each step", "faint", ({ loss }) => loss),
      { name: "mean of 20 steps", className: "strong", points: smoothed(reports) },
    ]),
    ...(held.length > 1
      ? [
          chart("Nats per held-out token", last, [
            { name: "held out", className: "strong", points: held },
          ]),
        ]
      : []),
    chart("Norm of the gradients", last, [
      line("norm", "strong", ({ gradientNorm }) => gradientNorm),
    ]),
    chart("Learning rate", last, [line("rate", "strong", ({ rate: now }) => now)]),
  ];
  return page(`Training of ${job.model.name}`, facts, charts);
}

function validationFacts(points: Curve["validation"]): readonly (readonly [string, string])[] {
  const [before, after] = [points[0], points.at(-1)];
  if (!before || !after) return [];
  const perplexity = [before, after].map(({ nll }) => Math.exp(nll).toFixed(3));
  return [["held-out perplexity", perplexity.join(" → ")]];
}

function smoothed(reports: Curve["reports"]): Series["points"] {
  return reports.map(({ step }, i) => {
    const some = reports.slice(Math.max(0, i - 19), i + 1);
    return [step, some.reduce((sum, { loss }) => sum + loss, 0) / some.length] as const;
  });
}

function chart(title: string, right: number, series: readonly Series[]): string {
  const points = series.flatMap((each) => each.points);
  const values = points.map(([, value]) => value);
  const { low, high, ticks } = scaleOf(Math.min(...values), Math.max(...values));
  const inner = {
    width: WIDTH - MARGIN.left - MARGIN.right,
    height: HEIGHT - MARGIN.top - MARGIN.bottom,
  };
  const x = (step: number) => MARGIN.left + (inner.width * step) / right;
  const y = (value: number) => MARGIN.top + inner.height * (1 - (value - low) / (high - low));
  const grid = ticks.map(
    (tick) =>
      `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}"/>` +
      `<text x="${MARGIN.left - 8}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${number(tick)}</text>`,
  );
  const below = [0, right / 2, right].map(
    (step, i) =>
      `<text x="${x(step).toFixed(1)}" y="${HEIGHT - 8}" text-anchor="${["start", "middle", "end"][i]}">${Math.round(step)}</text>`,
  );
  const lines = series.map(({ points: own, className }) => {
    const places = own.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
    // A few points are worth a dot each.
    const dots =
      own.length <= 40
        ? own.map(
            ([step, value]) =>
              `<circle class="${className}" cx="${x(step).toFixed(1)}" cy="${y(value).toFixed(1)}" r="3"/>`,
          )
        : [];
    return `<polyline class="${className}" points="${places.join(" ")}"/>${dots.join("")}`;
  });
  const legend =
    series.length > 1
      ? `<p class="legend">${series.map(({ name, className }) => `<span class="${className}">${name}</span>`).join("")}</p>`
      : "";
  return `<section><h2>${escape(title)}</h2>${legend}<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(title)} by step">${grid.join("")}${below.join("")}${lines.join("")}</svg></section>`;
}

/** Round numbers around a range. */
function scaleOf(least: number, most: number) {
  const span = most - least || Math.abs(most) || 1;
  const rough = span / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  const low = Math.floor(least / step) * step;
  const high = Math.max(Math.ceil(most / step), Math.floor(least / step) + 1) * step;
  const steps = Math.round((high - low) / step);
  return { low, high, ticks: Array.from({ length: steps + 1 }, (_, i) => low + i * step) };
}

const number = (value: number): string =>
  value === 0 || (Math.abs(value) >= 1e-4 && Math.abs(value) < 1e4)
    ? String(Number(value.toPrecision(4)))
    : value.toExponential(1);

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

function page(
  title: string,
  facts: readonly (readonly [string, string])[],
  charts: readonly string[],
): string {
  const rows = facts.map(
    ([name, value]) => `<tr><th>${escape(name)}</th><td>${escape(value)}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(title)}</title>
<style>
:root { color-scheme: light dark; --ink: #1c2733; --soft: #68778a; --line: #dfe5ec; --accent: #1769aa; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4eaf1; --soft: #93a1b3; --line: #2e3a48; --accent: #6db6f2; --paper: #161d26; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 46rem; margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; } h2 { font-size: 1rem; margin: 2rem 0 .25rem; }
table { border-collapse: collapse; } th { text-align: left; font-weight: normal; color: var(--soft); padding: .1rem 1.5rem .1rem 0; vertical-align: top; } td { padding: .1rem 0; }
svg { width: 100%; height: auto; display: block; } svg text { font-size: 12px; fill: var(--soft); }
.grid { stroke: var(--line); } polyline { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; } polyline.faint { stroke-width: 1; opacity: .35; }
circle { fill: var(--accent); } circle.faint { opacity: .35; } .legend { margin: 0; color: var(--soft); font-size: 12px; } .legend span { margin-right: 1.25rem; } .legend span::before { content: ""; display: inline-block; width: 1.25rem; height: 0; border-top: 2px solid var(--accent); vertical-align: middle; margin-right: .4rem; } .legend .faint::before { border-top-width: 1px; opacity: .5; }
</style>
<h1>${escape(title)}</h1>
<table>${rows.join("")}</table>
${charts.join("\n")}
</html>
`;
}
