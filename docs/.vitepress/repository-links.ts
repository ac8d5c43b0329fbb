import { existsSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { MarkdownRenderer } from "vitepress";

const root = fileURLToPath(new URL("../..", import.meta.url));
const docs = join(root, "docs");
const sources = "https://github.com/transmla/transmla/tree/main/";

/** Pages of the site that stand for a file elsewhere in the repository. */
const pages = new Map<string, string>([
  ["bench/results/serve.md", "/reference/serve"],
  ["bench/results/training.md", "/reference/training"],
  ["bench/results/fidelity.md", "/reference/fidelity"],
  ["bench/results/latest.md", "/reference/benchmarks"],
  ["apps/cli", "/packages/transmla"],
  ["docs/formats", "/formats/"],
  ...readdirSync(join(root, "packages")).flatMap((name): [string, string][] => [
    [`packages/${name}`, `/packages/${name}`],
    [`packages/${name}/README.md`, `/packages/${name}`],
  ]),
]);

/**
 * Where a link leads that is right in the repository: to a page of this site, or to the sources. `undefined` leaves it as it is.
 * `source` is the file that the link is written in, from the repository's root.
 */
export function siteLink(href: string, source: string): string | undefined {
  const external = new RegExp(`^${sources.replace("tree", "(?:tree|blob)")}`);
  const isOurs = external.test(href);
  if (!isOurs && /^(?:[a-z]+:|#|\/)/.test(href)) return undefined;
  const [path = "", anchor] = href.split("#");
  const target = isOurs
    ? join(root, path.replace(external, ""))
    : resolve(root, dirname(source), path);
  const inside = relative(root, target).replace(/\/$/, "");
  const hash = anchor === undefined ? "" : `#${anchor}`;
  const page = pages.get(inside);
  if (page !== undefined) return page + hash;
  const inDocs = relative(docs, target);
  if (!inDocs.startsWith("..") && !inDocs.startsWith("examples")) {
    return `/${inDocs.replace(/(?:^|\/)(?:README|index)\.md$/, (found) => found.replace(/(?:README|index)\.md/, ""))}${hash}`;
  }
  // Pages that are not written yet, and files that do not exist, stay dead links for VitePress to report.
  return existsSync(target) ? `${sources}${inside}${hash}` : undefined;
}

/**
 * Rewrites links between files of the repository to links of the site. A page that includes a file from elsewhere names it in its
 * front matter, as `source`.
 */
export function repositoryLinks(md: MarkdownRenderer): void {
  md.core.ruler.push("repository-links", ({ tokens, env }) => {
    const source = env.frontmatter?.source ?? `docs/${env.relativePath}`;
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      if (token.type !== "link_open") continue;
      const link = siteLink(token.attrGet("href") ?? "", source);
      if (link !== undefined) token.attrSet("href", link);
    }
  });
}
