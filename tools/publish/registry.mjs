import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runServer } from "verdaccio";

/**
 * A registry in this process, on a free port of the loopback interface. Packages of ours are only what is published to it; all others come from
 * the registry that npm is configured with.
 * @param {string} folder for its storage and npm's settings; made if it is not there
 * @param {Record<string, string>} npm settings of the user's npm: `registry`, `cafile`, `cache`, `https-proxy`
 * @returns {Promise<{ url: string, environment: Record<string, string | undefined>, close(): Promise<void> }>}
 *   `environment` is for npm: it makes this the only registry there is
 */
export async function startRegistry(folder, npm) {
  const storage = join(folder, "storage");
  await mkdir(storage, { recursive: true });
  const server = await runServer({
    storage,
    configPath: join(folder, "config.yaml"),
    self_path: folder,
    auth: { htpasswd: { file: join(folder, "htpasswd"), max_users: -1 } },
    uplinks: {
      configured: {
        url: npm.registry,
        timeout: "60s",
        max_fails: 100,
        maxage: "1h",
        ...(npm.cafile && { ca: await readFile(npm.cafile, "utf8") }),
        ...(npm["https-proxy"] && { https_proxy: npm["https-proxy"] }),
      },
    },
    packages: {
      "@transmla/*": { access: "$all", publish: "$all" },
      transmla: { access: "$all", publish: "$all" },
      "**": { access: "$all", proxy: "configured" },
    },
    max_body_size: "50mb",
    web: { enable: false },
    log: { type: "file", path: join(folder, "verdaccio.log"), level: "warn" },
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `127.0.0.1:${server.address().port}`;
  const url = `http://${host}/`;

  // Everybody may publish here, but npm wants to have a token before it tries.
  const settings = join(folder, "npmrc");
  await writeFile(settings, `registry=${url}\n//${host}/:_authToken=anybody\n`);
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  return {
    url,
    environment: {
      ...Object.fromEntries(inherited),
      // In small letters, which changesets wants to have them in: otherwise it would publish to the public registry.
      npm_config_userconfig: settings,
      npm_config_registry: url,
      npm_config_cache: npm.cache,
      npm_config_noproxy: "127.0.0.1",
      npm_config_audit: "false",
      npm_config_fund: "false",
      npm_config_update_notifier: "false",
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
