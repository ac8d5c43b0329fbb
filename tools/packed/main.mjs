/**
 * `node tools/packed/main.mjs FOLDER`: packs every published package and installs the tarballs in FOLDER, which then is what somebody has who
 * installed them from npm. Wants a build. Run again it installs only what has changed since.
 */
import { resolve } from "node:path";
import { installPacked } from "./install.mjs";

const [folder, ...rest] = process.argv.slice(2);
if (folder === undefined || folder.startsWith("-") || rest.length > 0) {
  console.error("usage: node tools/packed/main.mjs FOLDER");
  process.exit(2);
}
const { packages, changed } = await installPacked(resolve(folder));
console.log(`${packages.length} packages ${changed ? "installed" : "unchanged"} in ${folder}`);
