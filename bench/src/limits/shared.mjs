/** Places in the numbers that the main thread and the workers share. */
export const AT = { round: 0, task: 1, begun: 2, finished: 3 };

/** Functions of `assembly/limits.ts`. */
export const TASKS = ["read", "multiplyAdd"];
