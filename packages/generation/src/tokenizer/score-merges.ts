import { GenerationError } from "../errors";

/** Longer pieces do not occur (runs of 31 spaces are the longest known), and every one costs its length squared. */
const maxPieceLength = 512;

interface Merge {
  readonly pair: readonly [left: string, right: string];
  readonly score: number;
}

/**
 * Merges of a SentencePiece BPE vocabulary. It stores scores instead: wherever two neighbouring pieces join to a piece, the
 * join with the largest score comes first. So every split of a piece into two pieces is a merge with the score of the
 * whole. Pieces of equal score keep the order of their ids, splits of one piece the order of their parts' scores.
 *
 * @param scores score of every piece that may take part, by its text
 * @throws GenerationError InvalidTokenizer for a piece beyond all reason
 */
export function mergesFromScores(scores: ReadonlyMap<string, number>): [string, string][] {
  const merges: Merge[] = [];
  for (const [piece, score] of scores) {
    if (piece.length > maxPieceLength) {
      throw new GenerationError(
        "InvalidTokenizer",
        `GGUF metadata: a token has ${piece.length} characters, more than ${maxPieceLength}.`,
        { length: piece.length, limit: maxPieceLength },
      );
    }
    merges.push(...splits(piece, scores).map((pair) => ({ pair, score })));
  }
  return merges
    .toSorted((a, b) => b.score - a.score)
    .map(({ pair: [left, right] }) => [left, right]);
}

function splits(piece: string, scores: ReadonlyMap<string, number>): [string, string][] {
  const found: [string, string][] = [];
  for (let at = 1; at < piece.length; at++) {
    const left = piece.slice(0, at);
    const right = piece.slice(at);
    if (scores.has(left) && scores.has(right)) found.push([left, right]);
  }
  const score = (part: string) => scores.get(part)!;
  return found.toSorted((a, b) => score(b[0]) - score(a[0]) || score(b[1]) - score(a[1]));
}
