import { bytes, count, roughly } from "../format";
import { task } from "../state/task";
import type { Progress } from "../worker/operation";

/** What the worker is doing, how far it is, and the button that stops it. */
export function TaskBar() {
  const running = task.value;
  return (
    <div class={running ? "task running" : "task"}>
      <p role="status" class="task-label">
        {running ? `${running.label}…` : ""}
      </p>
      {running && (
        <>
          <div class="task-progress">
            <progress
              aria-label={running.label}
              max={running.progress?.total ?? 1}
              value={running.progress?.done}
            />
            <span class="numbers">{detail(running.progress, running.remaining)}</span>
          </div>
          <button type="button" onClick={running.stop}>
            Stop
          </button>
        </>
      )}
    </div>
  );
}

function detail(progress: Progress | undefined, remaining: number | undefined): string {
  if (!progress) return "";
  const { label, done, total, unit } = progress;
  const amount =
    unit === "bytes"
      ? `${bytes(done)} of ${bytes(total)}`
      : `${count(done)} of ${count(total)} ${unit}`;
  const time = remaining === undefined ? "" : `, about ${roughly(remaining)} left`;
  return `${capitalised(label)}: ${amount}${time}`;
}

const capitalised = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
