const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** `1,536` */
export function count(value: number): string {
  return grouped.format(value);
}

/** A fraction as `25.0 %`. */
export function percent(fraction: number, digits = 1): string {
  return `${(100 * fraction).toFixed(digits)} %`;
}

/** `5.7 MB`, in powers of 1000. */
export function bytes(value: number): string {
  return scaled(value, ["B", "kB", "MB", "GB", "TB"]);
}

/** `2.9 M`, `135 M`, `7.2 B`: parameters as the field writes them. */
export function parameters(value: number): string {
  return scaled(value, ["", "k", "M", "B", "T"]).trim();
}

function scaled(value: number, units: readonly string[]): string {
  let unit = 0;
  let amount = value;
  while (amount >= 999.5 && unit < units.length - 1) {
    amount /= 1000;
    unit++;
  }
  const digits = unit === 0 || amount >= 99.95 ? 0 : 1;
  return `${amount.toFixed(digits)} ${units[unit]}`;
}

/** `12 ms`, `3.4 s`, `42 s`, `3 min 07 s`, `2 h 05 min`. */
export function duration(seconds: number): string {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${twoDigits(whole % 60)} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${twoDigits(minutes % 60)} min`;
}

/** A time still to come: `1 s`, `42 s`, `3 min 07 s`. */
export function wholeSeconds(seconds: number): string {
  const whole = Math.max(1, Math.ceil(seconds));
  return whole < 60 ? `${whole} s` : duration(whole);
}

const twoDigits = (value: number) => String(value).padStart(2, "0");

/** `12.3 tokens/s`, `1,234 tokens/s`, `310 MB/s`. */
export function rate(perSecond: number, unit: string): string {
  if (unit === "bytes") return `${bytes(perSecond)}/s`;
  const digits = perSecond < 10 ? 1 : 0;
  const number = perSecond < 1000 ? perSecond.toFixed(digits) : count(perSecond);
  return `${number} ${unit}/s`;
}

/** Breaks text at spaces so that no line is wider than `width`; words wider than that are cut. Line breaks stay. */
export function wrap(text: string, width: number): string[] {
  return text.split("\n").flatMap((paragraph) => {
    const lines: string[] = [];
    let line = paragraph;
    while (line.length > width) {
      const space = line.lastIndexOf(" ", width);
      const at = space > 0 ? space : width;
      lines.push(line.slice(0, at));
      line = line.slice(at).trimStart();
    }
    return [...lines, line];
  });
}

/** Text that a terminal cannot take for commands: control characters but line breaks and tabs become U+FFFD. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) =>
    "\n\r\t".includes(character) ? character : "\uFFFD",
  );
}
