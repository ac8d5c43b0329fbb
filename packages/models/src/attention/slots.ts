/** Slots of a sequence's rows from position `from` on, in order of position: `page * pageTokens + offset`. */
export function sequenceSlots(
  { pageTokens }: { readonly pageTokens: number },
  { pages, length }: { readonly pages: Int32Array; readonly length: number },
  from = 0,
): Int32Array {
  return Int32Array.from({ length: Math.max(0, length - from) }, (_, i) => {
    const n = from + i;
    return pages[Math.floor(n / pageTokens)]! * pageTokens + (n % pageTokens);
  });
}
