import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { DefaultTheme } from "vitepress";

const api = fileURLToPath(new URL("../api", import.meta.url));

/** The modules that TypeDoc wrote: one page each. */
export function apiSidebar(): DefaultTheme.SidebarItem[] {
  return readdirSync(api, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md") && path !== "index.md")
    .toSorted()
    .map((path) => {
      const name = path.replace(/(?:\/index)?\.md$/, "").replace("/namespaces/", ": ");
      return { text: name, link: `/api/${path.replace(/(?:index)?\.md$/, "")}` };
    });
}
