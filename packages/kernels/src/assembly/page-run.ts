import { Task } from "./task";

/** The slot of a position. */
@inline
export function slotOf(task: Task, n: i32): i32 {
  const local = n - task.base;
  const page = load<i32>(task.pages + <usize>(local / task.pageTokens) * 4);
  return page * task.pageTokens + (local % task.pageTokens);
}

/** How many of `limit` rows from position `n` on lie one after the other in memory: neighbouring pages count as one. */
export function runLength(task: Task, n: i32, limit: i32): i32 {
  const local = n - task.base;
  let entry = task.pages + <usize>(local / task.pageTokens) * 4;
  let count = task.pageTokens - (local % task.pageTokens);
  while (count < limit && load<i32>(entry, 4) == load<i32>(entry) + 1) {
    count += task.pageTokens;
    entry += 4;
  }
  return min(count, limit);
}
