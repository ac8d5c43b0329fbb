import { readdirSync, readFileSync } from "node:fs";
import { defineConfig, type DefaultTheme } from "vitepress";
import { repositoryLinks } from "./repository-links";
import { apiSidebar } from "./api-sidebar";

const repository = "https://github.com/transmla/transmla";

/** Pages of a folder in the order of their names, by their first headings. */
function pagesOf(folder: string, skip: readonly string[] = []): DefaultTheme.SidebarItem[] {
  return readdirSync(new URL(`../${folder}`, import.meta.url))
    .filter((name) => name.endsWith(".md") && !skip.includes(name))
    .toSorted()
    .map((name) => {
      const text = readFileSync(new URL(`../${folder}/${name}`, import.meta.url), "utf8");
      const title = /^title: "?(.*?)"?$/m.exec(text)?.[1] ?? /^# (.*)$/m.exec(text)?.[1] ?? name;
      return { text: title.replaceAll("`", ""), link: `/${folder}/${name.replace(/\.md$/, "")}` };
    });
}

const learn: DefaultTheme.SidebarItem[] = [
  {
    text: "Begin",
    items: [
      { text: "Start in two minutes", link: "/start" },
      { text: "The playground", link: "/playground" },
      { text: "The families that run", link: "/families" },
    ],
  },
  {
    text: "The idea",
    items: [
      { text: "One latent for all heads", link: "/idea/" },
      { text: "The exact construction", link: "/idea/exact" },
      { text: "Rotations and RoRoPE", link: "/idea/rotation" },
      { text: "Absorbed decoding", link: "/idea/decoding" },
    ],
  },
  {
    text: "Guides",
    items: [
      { text: "Convert a model", link: "/guide/convert" },
      { text: "Judge the loss", link: "/guide/judge" },
      { text: "Choose a size", link: "/guide/size" },
      { text: "Train and distil", link: "/guide/train" },
      { text: "Serve", link: "/guide/serve" },
      { text: "Use a GPU", link: "/guide/gpu" },
      { text: "Hand over to other engines", link: "/guide/hand-over" },
      { text: "Write an operation", link: "/custom-operation" },
    ],
  },
  {
    text: "Build your own runtime",
    items: [
      { text: "From parts", link: "/runtime/" },
      { text: "1. A safetensors viewer", link: "/runtime/viewer" },
      { text: "2. An attention layer", link: "/runtime/attention" },
      { text: "3. A chat runtime", link: "/runtime/chat" },
    ],
  },
];

const reference: DefaultTheme.SidebarItem[] = [
  { text: "Packages", items: pagesOf("packages", ["index.md"]) },
  { text: "Formats", items: pagesOf("formats", ["index.md"]) },
  {
    text: "Facts",
    items: [
      { text: "Errors", link: "/reference/errors" },
      { text: "Trust", link: "/reference/trust" },
      { text: "Threat model", link: "/threat-model" },
      { text: "Dependencies", link: "/dependencies" },
      { text: "Fidelity", link: "/reference/fidelity" },
      { text: "Benchmarks", link: "/reference/benchmarks" },
      { text: "Benchmarks: serving", link: "/reference/serve" },
      { text: "Benchmarks: training", link: "/reference/training" },
      { text: "Families", link: "/families" },
      { text: "Engines", link: "/engines" },
      { text: "How plan reckons", link: "/plan" },
      { text: "Training elsewhere", link: "/hand-over" },
    ],
  },
  { text: "API", link: "/api/", items: [] },
  {
    text: "Decisions",
    link: "/decisions/",
    collapsed: true,
    items: pagesOf("decisions", ["README.md"]),
  },
];

export default defineConfig({
  title: "transmla",
  description: "Multi-head latent attention in JavaScript: convert, measure and run.",
  lang: "en-GB",
  cleanUrls: true,
  srcExclude: ["examples/**"],
  rewrites: { "decisions/README.md": "decisions/index.md" },
  head: [["link", { rel: "icon", type: "image/svg+xml", href: "/logo.svg" }]],
  markdown: {
    config: repositoryLinks,
    languageAlias: { mjs: "js" },
    // Marks of the parts that pages show are for us, not for those who copy the whole file.
    codeTransformers: [
      {
        name: "no-region-marks",
        preprocess: (code) => code.replace(/^.*#(?:end)?region\b.*\n?/gm, ""),
      },
    ],
  },
  // What our linked packages import: found late, it would reload the page while a figure computes.
  vite: { optimizeDeps: { include: ["@huggingface/jinja", "@huggingface/tokenizers"] } },
  themeConfig: {
    logo: "/logo.svg",
    search: { provider: "local" },
    outline: [2, 3],
    nav: [
      { text: "Start", link: "/start" },
      { text: "Idea", link: "/idea/" },
      { text: "Guides", link: "/guide/convert" },
      { text: "Build", link: "/runtime/" },
      { text: "Reference", link: "/packages/" },
    ],
    sidebar: {
      "/api/": [{ text: "API", link: "/api/", items: apiSidebar() }],
      "/packages/": reference,
      "/reference/": reference,
      "/formats/": reference,
      "/decisions/": reference,
      "/engines": reference,
      "/plan": reference,
      "/threat-model": reference,
      "/dependencies": reference,
      "/hand-over": reference,
      "/": learn,
    },
    socialLinks: [{ icon: "github", link: repository }],
    footer: { message: "Apache-2.0" },
  },
});
