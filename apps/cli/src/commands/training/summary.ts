import type { Curve, Objective } from "@transmla/training";
import { bytes, count, duration, rate } from "../../terminal/format";
import { properties } from "../../terminal/table";
import type { Terminal } from "../../terminal/terminal";
import type { TrainingJob } from "./run";

/** Tells a person what will be done. */
export function printPlan(terminal: Terminal, job: TrainingJob): void {
  const { flags, data, model, teacher, objective, context, memory, programBytes, out } = job;
  const { steps, batch, accumulate, train, rank } = flags;
  const { dim, bold } = terminal.colour;
  const adapters = train === "adapters" ? ` of rank ${rank}` : "";
  const parts = [
    `parameters ${bytes(memory.parameters)}`,
    `optimiser ${bytes(memory.optimiser)}`,
    ...(teacher ? [`teacher ${bytes(memory.teacher)}`] : []),
    `activations ${bytes(memory.activations)}`,
    `working space ${bytes(memory.working)}`,
    `program ${bytes(programBytes + memory.host)}`,
  ];
  terminal.print(
    bold(`${model.name} → ${out}`),
    ...properties(
      [
        [
          "data",
          `${data.name}: ${count(data.documents.count)} documents of up to ${count(context)} tokens`,
        ],
        ["steps", `${count(steps)} of ${count(batch * accumulate)} tokens`],
        ["objective", describeObjective(objective, teacher?.name)],
        ["trained", `${train}${adapters}`],
        ["memory", `${bytes(memory.total + programBytes)}: ${parts.join(", ")}`],
      ],
      dim,
    ),
    "",
  );
}

/** `divergence from sample (temperature 2), 0.5 cross-entropy` */
export function describeObjective(objective: Objective, teacher: string | undefined): string {
  const { crossEntropy = 0, divergence = 0, attention = 0, temperature = 1 } = objective;
  const weight = (value: number) => (value === 1 ? "" : `${value} `);
  const warm = temperature === 1 ? "" : ` at temperature ${temperature}`;
  return [
    ...(divergence > 0 ? [`${weight(divergence)}divergence from ${teacher}${warm}`] : []),
    ...(crossEntropy > 0 ? [`${weight(crossEntropy)}cross-entropy`] : []),
    ...(attention > 0 ? [`${weight(attention)}attention of ${teacher}`] : []),
  ].join(" + ");
}

/** Tells a person what became of it. */
export function printOutcome(
  terminal: Terminal,
  { out, model }: TrainingJob,
  { reports, validation }: Curve,
  seconds: number,
): void {
  const { dim, bold } = terminal.colour;
  const [first, last] = [reports[0]!, reports.at(-1)!];
  const tokens = reports.reduce((sum, report) => sum + report.tokens, 0);
  const busy = reports.reduce((sum, report) => sum + report.seconds, 0);
  const [before, after] = [validation[0], validation.at(-1)];
  terminal.print(
    ...properties(
      [
        ["loss", `${first.loss.toFixed(4)} → ${bold(last.loss.toFixed(4))}`],
        ...(before && after
          ? [
              [
                "held out",
                `${before.nll.toFixed(4)} → ${bold(after.nll.toFixed(4))} nats per token (perplexity ${Math.exp(before.nll).toFixed(2)} → ${Math.exp(after.nll).toFixed(2)})`,
              ] as const,
            ]
          : []),
        ["speed", `${rate(tokens / busy, "tokens")}, ${count(tokens)} tokens`],
      ],
      dim,
    ),
    `Wrote ${out} in ${duration(seconds)}.`,
  );
  terminal.note(`Next: transmla compare ${model.name} ${out}`);
}
