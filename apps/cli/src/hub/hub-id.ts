/** A repository of the Hugging Face hub at one of its revisions. */
export interface HubId {
  /** `org/name` */
  readonly repository: string;
  /** A branch, tag or commit. */
  readonly revision: string;
}

/** Reads `org/name` or `org/name@revision`; undefined for what cannot be one. */
export function parseHubId(text: string): HubId | undefined {
  const match = /^([\w-][\w.-]*\/[\w-][\w.-]*)(?:@([\w-][\w./-]*))?$/.exec(text);
  if (match === null || text.includes("..")) return undefined;
  return { repository: match[1]!, revision: match[2] ?? "main" };
}
