import { budgets } from "./budgets.mjs";

/**
 * Prints the sizes and fails where one is over its budget, or has none.
 * @param {{ name: string, packed: number, vite?: number, esbuild?: number }[]} sizes in bytes
 */
export function checkBudgets(sizes) {
  const over = [];
  const line = (name, ...cells) => console.log(name.padEnd(26) + cells.join(""));
  line("KiB, of what is allowed", ...["packed", "Vite", "esbuild"].map((one) => one.padStart(14)));
  for (const { name, packed, vite, esbuild } of sizes) {
    const budget = budgets[name];
    if (budget === undefined) over.push(`${name} has no budget`);
    const cell = (what, bytes, most) => {
      if (bytes === undefined) return "for Node".padStart(14);
      const kib = bytes / 1024;
      if (!(kib <= most)) over.push(`${name}: ${kib.toFixed(1)} KiB ${what}, may be ${most}`);
      return `${kib.toFixed(0)} of ${most}`.padStart(14);
    };
    line(
      name,
      cell("packed", packed, budget?.packed),
      cell("by Vite", vite, budget?.bundle),
      cell("by esbuild", esbuild, budget?.bundle),
    );
  }
  if (over.length > 0) throw new Error(over.join("\n"));
}
