import { signal } from "@preact/signals";
import type { ComponentChild } from "preact";

type Component = () => ComponentChild;

/** A component whose code is fetched when it is first shown. */
export function lazy(load: () => Promise<Component>): Component {
  const loaded = signal<Component | undefined>(undefined);
  let begun = false;
  return function Lazy() {
    if (!begun) {
      begun = true;
      void load().then((component) => (loaded.value = component));
    }
    const Loaded = loaded.value;
    return Loaded ? <Loaded /> : <p role="status">Loading…</p>;
  };
}
