const grouped = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** `1,536` */
export const count = (value: number): string => grouped.format(value);

/** `25 %`; one digit more where it is needed to tell it from a neighbour. */
export const percent = (fraction: number, digits = 0): string =>
  `${(100 * fraction).toFixed(digits)} %`;

/** `5.7 MB`, in powers of 1000. */
export const bytes = (value: number): string => scaled(value, ["B", "kB", "MB", "GB", "TB"]);

/** `2.9 M`: numbers of parameters, as the field writes them. */
export const parameters = (value: number): string => scaled(value, ["", "k", "M", "B"]).trim();

function scaled(value: number, units: readonly string[]): string {
  let unit = 0;
  let amount = value;
  while (amount >= 999.5 && unit < units.length - 1) {
    amount /= 1000;
    unit++;
  }
  return `${amount.toFixed(unit === 0 || amount >= 99.95 ? 0 : 1)} ${units[unit]}`;
}

/** `12 s`, `3 min`: a time that is only known roughly. */
export function roughly(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Three digits that count. */
export const significant = (value: number): string =>
  value === 0 ? "0" : String(Number(value.toPrecision(3)));

/** One number, or the range of several: `64`, `40–72`. */
export function perLayer(value: number | readonly number[]): string {
  return typeof value === "number" ? count(value) : `${Math.min(...value)}–${Math.max(...value)}`;
}
