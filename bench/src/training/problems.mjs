/** Sums of numbers of up to three digits, worked digit by digit as R1 reasons: `<think>`, one line a digit, the answer. */

/** Deterministic whole numbers below a limit (Mulberry32). */
export function randomBelow(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

/** One line of training data for a sum. */
export function worked(a, b, digits) {
  const [left, right] = [a, b].map((number) => String(number).padStart(digits, "0"));
  const lines = [];
  let carry = 0;
  for (let i = digits - 1; i >= 0; i--) {
    const sum = Number(left[i]) + Number(right[i]) + carry;
    lines.push(`${left[i]}+${right[i]}+${carry}=${sum}`);
    carry = sum >= 10 ? 1 : 0;
  }
  return {
    prompt: promptOf(a, b, digits),
    reasoning: lines.join("\n"),
    completion: String(a + b),
  };
}

export function promptOf(a, b, digits) {
  const [left, right] = [a, b].map((number) => String(number).padStart(digits, "0"));
  return `${left}+${right}=\n`;
}

/** Different problems: the first `unseen` of them are kept for the examination. */
export function problems({ seed, digits, train, unseen }) {
  const below = randomBelow(seed);
  const seen = new Set();
  const all = [];
  while (all.length < train + unseen) {
    const [a, b] = [below(10 ** digits), below(10 ** digits)];
    const key = `${a} ${b}`;
    if (seen.has(key)) continue;
    seen.add(key);
    all.push({ a, b });
  }
  return { unseen: all.slice(0, unseen), train: all.slice(unseen) };
}

/** Whether a text that a model wrote ends in the right answer. */
export const isRight = ({ a, b }, text) =>
  new RegExp(`</think>\\s*${a + b}\\s*$`).test(text.replace(/<\|endoftext\|>.*$/s, ""));
