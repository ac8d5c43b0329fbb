import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

/** What makes a page cross-origin isolated, so that workers may share memory and the CPU device may use threads. */
export const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** While the page is worked on, Vite puts styles and its client into it, which the page's policy would forbid. */
const withoutPolicy: Plugin = {
  name: "without-policy",
  apply: "serve",
  transformIndexHtml: (html) =>
    html.replace(/<meta\s+http-equiv="Content-Security-Policy"[^>]*>/, ""),
};

export default defineConfig({
  plugins: [withoutPolicy],
  root: fileURLToPath(new URL(".", import.meta.url)),
  // Relative paths: the built site may lie in any folder.
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  worker: { format: "es" },
  build: {
    target: "es2022",
    // Small assets as data: addresses would need a wider connect-src.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The device and the models are one chunk of the worker, which nobody waits for.
    chunkSizeWarningLimit: 2000,
    reportCompressedSize: false,
  },
  server: { headers: isolation },
  preview: { headers: isolation },
});
