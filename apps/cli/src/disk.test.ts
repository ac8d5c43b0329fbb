import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { freeBytes, requireDisk } from "./disk";
import { temporaryFolder } from "./testing";

describe("requireDisk", () => {
  it("looks at the disk that a folder still to be made would be on", async () => {
    const folder = await temporaryFolder();
    const free = await freeBytes(folder);
    expect(free).toBeGreaterThan(0);
    expect(await requireDisk(join(folder, "a", "b"), 1)).toBeGreaterThan(free / 2);
  });

  it("refuses more than is there, with both numbers", async () => {
    const folder = await temporaryFolder();
    await expect(requireDisk(join(folder, "out"), 2 ** 60)).rejects.toThrow(
      expect.objectContaining({ code: "DiskFull", message: expect.stringContaining("left") }),
    );
  });
});
