import { useEffect, useRef } from "preact/hooks";
import { lazy } from "./parts/lazy";
import { ProblemBanner } from "./parts/problem-banner";
import { TaskBar } from "./parts/task-bar";
import { original, converted, models } from "./state/bench";
import { view, viewNames, type ViewName } from "./state/route";
import { textTokens } from "./state/writing";
import { ConvertView } from "./views/convert";
import { ModelView } from "./views/model";
import { WriteView } from "./views/write";

interface View {
  readonly title: string;
  readonly component: () => preact.ComponentChild;
  /** What is missing before the view has something to show; undefined when nothing is. */
  readonly missing: () => string | undefined;
}

const needsOriginal = () =>
  original.value ? undefined : "Open a model with grouped-query attention first.";

const views: Readonly<Record<ViewName, View>> = {
  model: { title: "Model", component: ModelView, missing: () => undefined },
  convert: { title: "Convert", component: ConvertView, missing: needsOriginal },
  results: {
    title: "Results",
    component: lazy(async () => (await import("./views/results")).ResultsView),
    missing: () => (converted.value ? undefined : "Convert a model, or open a converted one."),
  },
  write: {
    title: "Write",
    component: WriteView,
    missing: () => (models.value.length > 0 ? undefined : "Open a model first."),
  },
  inside: {
    title: "Inside",
    component: lazy(async () => (await import("./views/inside")).InsideView),
    missing: () => (textTokens.value.length > 0 ? undefined : "Let a model write something first."),
  },
  plan: {
    title: "Plan",
    component: lazy(async () => (await import("./views/plan")).PlanView),
    missing: () => (models.value.length > 0 ? undefined : "Open a model first."),
  },
};

export function App() {
  const { title, component: Component, missing } = views[view.value];
  const lacking = missing();
  const heading = useRef<HTMLHeadingElement>(null);
  const first = useRef(true);
  useEffect(() => {
    // A reader who followed a link goes on reading there.
    if (!first.current) heading.current?.focus();
    first.current = false;
  }, [view.value]);
  return (
    <>
      <header class="top">
        <button type="button" class="skip" onClick={() => heading.current?.focus()}>
          Skip to the content
        </button>
        <p class="brand">
          transmla <span>playground</span>
        </p>
        <nav aria-label="Steps">
          {viewNames.map((name) => (
            <a
              key={name}
              href={`#${name}`}
              aria-current={name === view.value ? "page" : undefined}
              class={views[name].missing() ? "empty" : ""}
            >
              {views[name].title}
            </a>
          ))}
        </nav>
      </header>
      <main class="page">
        <h1 tabIndex={-1} ref={heading}>
          {view.value === "model" ? "A smaller cache for a model you already have" : title}
        </h1>
        <ProblemBanner />
        {lacking ? <p class="lead">{lacking}</p> : <Component />}
      </main>
      <TaskBar />
    </>
  );
}
