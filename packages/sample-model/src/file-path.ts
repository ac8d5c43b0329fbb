import { SampleModelError } from "./errors";

/**
 * `fileURLToPath` of `node:url` for local paths, so that no Node module is imported in a browser.
 *
 * @throws SampleModelError `NotOnDisk` for an address that is not a file
 */
export function filePath(url: URL): string {
  if (url.protocol !== "file:") {
    throw new SampleModelError(
      "NotOnDisk",
      `The sample model is at ${url.href}, not in a folder; fetch its files by modelUrl(name).`,
      { url: url.href },
    );
  }
  const path = decodeURIComponent(url.pathname);
  const drive = /^\/[A-Za-z]:\//.test(path);
  return drive ? path.slice(1).replaceAll("/", "\\") : path;
}
