/**
 * Rows of the report. A row compares ours with one peer or one limit:
 *
 *     { group, name, ours, peer, unit, ratio, target, met, peerName, oursBest, peerBest, note }
 *
 * `ratio` is `ours / peer` in the row's unit, so that it is large for a rate when ours is fast and small for a time. Rows that
 * were not measured carry `skipped: reason` and nulls instead. A row without a target is there for orientation.
 */

/**
 * @param spec.value turns seconds into the row's unit
 * @param spec.atLeast or spec.atMost the target for the ratio
 */
export function compare({ group, name, ours, peer, peerName, unit, value, note, ...target }) {
  const base = { group, name, peerName: peerName ?? peer.name, unit, target: written(target) };
  const skipped = ours.missing ?? peer.missing;
  if (skipped) return skip(base, skipped);
  const mine = value(ours.seconds);
  const theirs = value(peer.seconds);
  return {
    ...judged(base, mine, theirs, target),
    oursBest: value(ours.best),
    peerBest: value(peer.best),
    ...(note && { note }),
  };
}

const LIMIT_TOO_LOW =
  "no verdict: faster than the limit, which was measured while the machine was busy";

/** A row of two numbers in one unit; with `isLimit`, the best rate of ours beside what the machine can do at most. */
export function against({
  group,
  name,
  ours,
  limit,
  limitName,
  unit,
  missing,
  note,
  isLimit,
  ...target
}) {
  const base = { group, name, peerName: limitName, unit, target: written(target) };
  if (missing !== undefined) return skip(base, missing);
  if (isLimit && ours > limit) return { ...judged(base, ours, limit, {}), note: LIMIT_TOO_LOW };
  return { ...judged(base, ours, limit, target), ...(note && { note }) };
}

export function skip({ group, name, peerName, unit, target }, skipped) {
  const nothing = { ours: null, peer: null, ratio: null, met: null };
  return { group, name, peerName, unit, target: target ?? null, ...nothing, skipped };
}

function judged(base, ours, peer, { atLeast, atMost }) {
  const ratio = ours / peer;
  let met = null;
  if (atLeast !== undefined) met = ratio >= atLeast;
  else if (atMost !== undefined) met = ratio <= atMost;
  return { ...base, ours, peer, ratio, met };
}

function written({ atLeast, atMost }) {
  if (atLeast !== undefined) return `≥ ${atLeast}`;
  return atMost === undefined ? null : `≤ ${atMost}`;
}

/** Milliseconds of a time; gigabytes or operations per second of a count. */
export const milliseconds = (seconds) => seconds * 1e3;
export const per = (count) => (seconds) => count / seconds;
