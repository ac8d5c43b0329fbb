import { homedir } from "node:os";
import { join } from "node:path";

/** Where the hub is and where its files are kept; the environment variables are those of `huggingface_hub`. */
export interface HubSettings {
  readonly endpoint: string;
  readonly cache: string;
  readonly token: string | undefined;
  readonly offline: boolean;
}

export function hubSettings(env: Readonly<Record<string, string | undefined>>): HubSettings {
  const caches = env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const home = env["HF_HOME"] ?? join(caches, "huggingface");
  return {
    endpoint: (env["HF_ENDPOINT"] ?? "https://huggingface.co").replace(/\/+$/, ""),
    cache: env["HF_HUB_CACHE"] ?? join(home, "hub"),
    token: env["HF_TOKEN"] || undefined,
    offline: ["1", "on", "yes", "true"].includes(env["HF_HUB_OFFLINE"]?.toLowerCase() ?? ""),
  };
}
