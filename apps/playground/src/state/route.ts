import { signal } from "@preact/signals";

/** The views by the hash that names them. A new one is one entry here and one in `app.tsx`. */
export const viewNames = ["model", "convert", "results", "write", "inside", "plan"] as const;

export type ViewName = (typeof viewNames)[number];

/** The view that is shown. */
export const view = signal<ViewName>(named(location.hash));

function named(hash: string): ViewName {
  return viewNames.find((name) => `#${name}` === hash) ?? "model";
}

addEventListener("hashchange", () => {
  view.value = named(location.hash);
});

/** Goes to a view as a link would. */
export function goTo(name: ViewName): void {
  location.hash = name;
}
