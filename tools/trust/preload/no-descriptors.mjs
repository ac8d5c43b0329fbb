// Somebody else takes every file descriptor that is left as soon as the program has begun to write.
import { existsSync, openSync } from "node:fs";

const { TRUST_BEGUN } = process.env;
const timer = setInterval(() => {
  if (!existsSync(TRUST_BEGUN)) return;
  clearInterval(timer);
  try {
    for (;;) openSync("/dev/null", "r");
  } catch {
    // None is left.
  }
}, 5);
timer.unref();
