import { problem } from "../state/task";

/** The last failure, in the words of whoever noticed it. */
export function ProblemBanner() {
  const failure = problem.value;
  return (
    <div role="alert" class="problem-place">
      {failure && (
        <div class="problem">
          <p>
            {failure.message} <code>{failure.code}</code>
          </p>
          <button type="button" onClick={() => (problem.value = undefined)}>
            Dismiss
          </button>
        </div>
      )}
    </div>
  );
}
