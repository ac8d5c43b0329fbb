import { expect, it } from "vitest";
import { familiesDocument } from "./families";

it("docs/families.md is what the table of families and the planners say", async () => {
  await expect(await familiesDocument()).toMatchFileSnapshot("../docs/families.md");
});
