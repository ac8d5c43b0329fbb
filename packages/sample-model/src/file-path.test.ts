import { expect, it } from "vitest";
import { SampleModelError } from "./errors";
import { filePath } from "./file-path";

it("decodes a file address", () => {
  expect(filePath(new URL("file:///opt/a%20b/%C3%A9/"))).toBe("/opt/a b/é/");
});

it("gives a Windows drive its backslashes", () => {
  expect(filePath(new URL("file:///C:/a%20b/model/"))).toBe("C:\\a b\\model\\");
});

it("refuses an address that is not a file", () => {
  let error: unknown;
  try {
    filePath(new URL("https://example.org/model/"));
  } catch (thrown) {
    error = thrown;
  }
  expect(SampleModelError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({
    code: "NotOnDisk",
    context: { url: "https://example.org/model/" },
  });
});
