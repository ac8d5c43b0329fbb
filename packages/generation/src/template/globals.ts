import type { TemplateMeter } from "./budget";

/** Thrown by `raise_exception`: how a template refuses messages. */
export class TemplateRefusal extends Error {}

/** The functions and constants that Hugging Face chat templates may use, by name. */
export function templateGlobals(meter: TemplateMeter, now: () => Date): Map<string, unknown> {
  return new Map<string, unknown>([
    ["true", true],
    ["True", true],
    ["false", false],
    ["False", false],
    ["none", null],
    ["None", null],
    [
      "raise_exception",
      (message: unknown) => {
        throw new TemplateRefusal(String(message));
      },
    ],
    ["range", (...bounds: readonly unknown[]) => range(meter, bounds.map(Number))],
    ["strftime_now", (format: unknown) => strftime(String(format), now())],
  ]);
}

/** Python's `range`. The library's own makes a list of any length at once, which no budget could stop. */
function range(meter: TemplateMeter, bounds: readonly number[]): number[] {
  const [start, stop, step] =
    bounds.length < 2 ? [0, bounds[0] ?? 0, 1] : [bounds[0]!, bounds[1]!, bounds[2] ?? 1];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!Number.isFinite(length)) throw new Error("range() needs whole numbers and a step");
  meter.list(length);
  return Array.from({ length }, (_, index) => start + index * step);
}

const months =
  "January February March April May June July August September October November December";
const days = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday";
const monthName = (date: Date) => months.split(" ")[date.getMonth()]!;
const dayName = (date: Date) => days.split(" ")[date.getDay()]!;
const two = (value: number) => String(value).padStart(2, "0");

/** Directives of Python's `strftime` in the C locale. */
const directives: Readonly<Record<string, (date: Date) => string>> = {
  Y: (date) => String(date.getFullYear()),
  y: (date) => two(date.getFullYear() % 100),
  m: (date) => two(date.getMonth() + 1),
  d: (date) => two(date.getDate()),
  B: monthName,
  b: (date) => monthName(date).slice(0, 3),
  A: dayName,
  a: (date) => dayName(date).slice(0, 3),
  H: (date) => two(date.getHours()),
  I: (date) => two(date.getHours() % 12 || 12),
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  M: (date) => two(date.getMinutes()),
  S: (date) => two(date.getSeconds()),
  "%": () => "%",
};

function strftime(format: string, date: Date): string {
  return format.replace(/%(.)/g, (whole, letter: string) => directives[letter]?.(date) ?? whole);
}
