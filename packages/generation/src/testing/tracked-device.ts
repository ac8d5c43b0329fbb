import type { Device, PagePool, Tensor, Weight } from "@transmla/kernels";

type Resource = Tensor | Weight | PagePool;

/** A device that does its work as ever and says which of its resources have not been released. */
export function trackedDevice(device: Device): { device: Device; live: ReadonlySet<unknown> } {
  const live = new Set<unknown>();
  const tracked = new Proxy(device, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...values: unknown[]) => {
        const before = new Set(live);
        const result: unknown = member.apply(target, values);
        if (name === "release") live.delete(values[0]);
        if (name === "scope") for (const made of live) if (!before.has(made)) live.delete(made);
        for (const made of [result].flat()) if (isResource(made)) live.add(made);
        return result;
      };
    },
  });
  return { device: tracked, live };
}

function isResource(value: unknown): value is Resource {
  return typeof value === "object" && value !== null && "kind" in value;
}
