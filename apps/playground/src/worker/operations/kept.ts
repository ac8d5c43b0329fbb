import type { Operation } from "../operation";
import { keptNames, removeKeptFolder } from "../sources/kept-folders";

/** Names of the models that this browser keeps. */
export const keptModels: Operation<Record<never, never>, readonly string[]> = () => keptNames();

/** Removes a kept model; the names of the others. */
export const removeKept: Operation<{ readonly name: string }, readonly string[]> = async (
  _,
  { name },
) => {
  await removeKeptFolder(name);
  return keptNames();
};
