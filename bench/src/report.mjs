const COLUMNS = ["work", "ours", "peer", "unit", "ratio", "target", "met", "against, remarks"];

/** The report as a text table. */
export function plainTable({ machine, rows, tables }) {
  const parts = [machineLines(machine).join("\n"), aligned(COLUMNS, rows.map(cells))];
  for (const { title, columns, rows: lines } of tables) {
    parts.push(`${title}\n${aligned(columns, lines)}`);
  }
  return parts.join("\n\n");
}

/** The same as Markdown. */
export function markdown({ machine, rows, tables }) {
  const parts = [
    "# Benchmark results",
    "Written by `npm run bench`; `bench/README.md` says what each row means and how to read noise.",
    machineLines(machine)
      .map((line) => `- ${line}`)
      .join("\n"),
    markdownTable(COLUMNS, rows.map(cells)),
  ];
  for (const { title, columns, rows: lines } of tables) {
    parts.push(`## ${title}`, markdownTable(columns, lines));
  }
  return `${parts.join("\n\n")}\n`;
}

function machineLines({ cpu, cores, memoryGiB, system, node, date, loadAverage, limits }) {
  const { read1, read2, simd1, simd2, relaxed1, relaxed2 } = limits;
  return [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}, Node ${node}`,
    `${date}, load average at the start ${loadAverage.toFixed(1)}`,
    `DRAM read: 1 thread ${limit(read1)}, 2 threads ${limit(read2)} GB/s`,
    `128-bit multiply and add: 1 thread ${limit(simd1)}, 2 threads ${limit(simd2)} GFLOP/s; relaxed (fused): ${limit(relaxed1)}, ${limit(relaxed2)}`,
  ];
}

function limit({ missing, median, best }) {
  return missing ?? `${short(median)} (best ${short(best)})`;
}

function cells({ group, name, ours, peer, unit, ratio, target, met, peerName, note, skipped }) {
  const remarks = skipped
    ? `${peerName}; skipped: ${skipped}`
    : [peerName, note].filter(Boolean).join("; ");
  const verdict = met === null ? "" : met ? "yes" : "no";
  return [
    `${group}: ${name}`,
    short(ours),
    short(peer),
    unit,
    short(ratio),
    target ?? "",
    verdict,
    remarks,
  ];
}

/** Three significant digits. */
function short(value) {
  if (value === null || value === undefined) return "";
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

export function aligned(columns, lines) {
  const all = [columns, ...lines];
  const widths = columns.map((_, column) => Math.max(...all.map((line) => line[column].length)));
  return all
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function markdownTable(columns, lines) {
  const row = (line) => `| ${line.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [row(columns), row(columns.map(() => "---")), ...lines.map(row)].join("\n");
}
