import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly scripts?: Readonly<Record<string, string>>;
}

const at = (path: string) => new URL(`../${path}`, import.meta.url);

const manifests = ["packages", "apps"]
  .flatMap((parent) => readdirSync(at(parent)).map((name) => `${parent}/${name}/package.json`))
  .map((path) => JSON.parse(readFileSync(at(path), "utf8")) as Manifest)
  .filter((manifest) => !manifest.private);

it("the docs give a reason for everything that an install brings, and for nothing else", () => {
  const brought = manifests.flatMap(({ dependencies, peerDependencies }) =>
    Object.keys({ ...dependencies, ...peerDependencies }),
  );
  const foreign = new Set(brought.filter((name) => !/^(@transmla\/.*|transmla)$/.test(name)));
  const rows = readFileSync(at("docs/dependencies.md"), "utf8").matchAll(/^\| `([^`]+)`/gm);
  expect(Array.from(rows, ([, name]) => name).toSorted()).toEqual([...foreign].toSorted());
});

it("no package runs anything when it is installed", () => {
  const install = ["preinstall", "install", "postinstall", "prepare"];
  for (const { name, scripts = {} } of manifests) {
    expect(
      install.filter((script) => script in scripts),
      name,
    ).toEqual([]);
  }
});
