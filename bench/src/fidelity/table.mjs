import { aligned, markdownTable } from "../report.mjs";
import { allCells, blocks, isCurrent, keeps, labelOf } from "./cells.mjs";
import { subjects } from "./subjects.mjs";

const COLUMNS = [
  "kept",
  "method",
  "perplexity",
  "mean KL",
  "gap",
  "of transmla's",
  "target",
  "met",
  "seeds",
];

/** The table as Markdown. `inputs` are the fingerprints of the subjects whose files are here. */
export function markdown(cells, inputs) {
  const parts = [
    "# Fidelity",
    "Written by `npm run bench:fidelity`; `bench/README.md` says what the columns mean.",
  ];
  for (const { title, remark, lines } of sections(cells, inputs)) {
    parts.push(`## ${title}`, ...(remark ? [remark] : []));
    if (lines.length > 0) parts.push(markdownTable(COLUMNS, lines));
  }
  return `${parts.join("\n\n")}\n`;
}

/** The same for a terminal. */
export function plain(cells, inputs) {
  return sections(cells, inputs)
    .map(({ title, remark, lines }) =>
      [
        title,
        ...(remark ? [remark] : []),
        ...(lines.length > 0 ? [aligned(COLUMNS, lines)] : []),
      ].join("\n"),
    )
    .join("\n\n");
}

function sections(cells, inputs) {
  const known = allCells()
    .map((cell) => ({ cell, saved: cells[labelOf(cell)] }))
    .filter(({ cell, saved }) => isCurrent(saved, cell, inputs[cell.subject]))
    .map(({ cell, saved }) => ({ ...cell, ...saved.result }));
  return Object.entries(blocks).flatMap(([block, { title }]) =>
    Object.entries(subjects).flatMap(([subject, { contexts }]) =>
      contexts.map((context) => {
        const rows = known.filter(
          (row) => row.block === block && row.subject === subject && row.context === context,
        );
        const remark = rows.length > 0 ? originalLine(rows) : "Not measured yet.";
        return { title: `${title}: ${subject}, context ${context}`, remark, lines: linesOf(rows) };
      }),
    ),
  );
}

function originalLine(rows) {
  return `Original: perplexity ${rows[0].original.toFixed(3)}.`;
}

function linesOf(rows) {
  return keeps.flatMap((keep) => {
    const group = new Map();
    for (const row of rows.filter((each) => each.keep === keep)) {
      const name = row.without === undefined ? row.method : `without ${row.without}`;
      group.set(name, [...(group.get(name) ?? []), row]);
    }
    const published = group.get("transmla") ?? [];
    return [...group].map(([name, all]) => line(name, all, published));
  });
}

/** Seeds are averaged; the ratio is taken over the seeds that both methods have. */
function line(name, rows, published) {
  const shared = rows.filter(({ seed }) => published.some((row) => row.seed === seed));
  const beside = published.filter(({ seed }) => shared.some((row) => row.seed === seed));
  const ratio = shared.length > 0 ? mean(shared.map(gap)) / mean(beside.map(gap)) : undefined;
  const { target, met } = name === "output-aware" ? verdict(rows, ratio) : { target: "", met: "" };
  return [
    `${100 * rows[0].keep} %`,
    name,
    meanPerplexity(rows.map(({ perplexity }) => perplexity)).toFixed(3),
    mean(rows.map(({ meanKl }) => meanKl)).toFixed(4),
    mean(rows.map(gap)).toFixed(4),
    ratio === undefined || name === "transmla" ? "" : ratio.toFixed(3),
    target,
    met,
    rows
      .map(({ seed }) => seed)
      .toSorted()
      .join(", "),
  ];
}

/** What the issue asks of the whole method at this size. */
function verdict(rows, ratio) {
  const { subject, block, keep } = rows[0];
  const { ratio: ratios = {}, above = {} } = subjects[subject].targets[block];
  const checks = [];
  if (ratios[keep] !== undefined && ratio !== undefined) {
    checks.push({ text: `≤ ${ratios[keep]}`, met: ratio <= ratios[keep] });
  }
  if (above[keep] !== undefined) {
    const factor = Math.exp(mean(rows.map(gap)));
    const text = `perplexity ≤ ${above[keep]} of the original's (${factor.toFixed(3)})`;
    checks.push({ text, met: factor <= above[keep] });
  }
  return {
    target: checks.map(({ text }) => text).join("; "),
    met: checks.map(({ met }) => (met ? "yes" : "no")).join("; "),
  };
}

/** Perplexities are averaged in their logarithm, as the losses that they come from. */
export function meanPerplexity(values) {
  return Math.exp(mean(values.map(Math.log)));
}

/** How much log-perplexity a conversion adds. */
function gap({ perplexity, original }) {
  return Math.log(perplexity / original);
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
