/** Prints the closing line of a test run from the JSON report of vitest: `N passed, N failed`. */
import { readFileSync } from "node:fs";

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { numPassedTests: passed, numFailedTests: failed, numPendingTests: skipped } = report;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
// A suite that could not be loaded has no failed test of its own.
process.exitCode = report.success && passed > 0 ? 0 : 1;
