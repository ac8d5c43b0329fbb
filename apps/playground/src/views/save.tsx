import { useState } from "preact/hooks";
import { call } from "../client";
import { hasDirectoryPicker, pickDirectory } from "../choosing";
import { bytes } from "../format";
import { converted } from "../state/bench";
import { kept, trials } from "../state/session";
import { runTask, task } from "../state/task";
import type { Saved, SaveChoice } from "../worker/operations/save";

/** Ways to take the converted model along. */
export function SaveSection() {
  const [saved, setSaved] = useState("");
  const busy = task.value !== undefined;
  if (trials.value.length === 0) return null;
  const name = converted.value!.name.replace(/ at ([\d.]+) %$/, "-mla-$1").replaceAll("/", "-");
  const save = async (choice: SaveChoice) => {
    const result = await runTask("Saving", ({ signal, onProgress }) =>
      call("save", choice, { signal, onEvent: onProgress }),
    );
    if (!result) return;
    setSaved(savedText(result));
    kept.value = await call("kept", {});
  };
  const saveToDisk = async () => {
    const handle = await pickDirectory("readwrite");
    if (handle) await save({ kind: "directory", handle });
  };
  return (
    <section aria-labelledby="save-heading">
      <h2 id="save-heading">Save it</h2>
      <div class="row">
        {hasDirectoryPicker() && (
          <button type="button" disabled={busy} onClick={() => void saveToDisk()}>
            Save to a folder
          </button>
        )}
        <button type="button" disabled={busy} onClick={() => void download().then(setSaved)}>
          Download as one file
        </button>
        <button type="button" disabled={busy} onClick={() => void save({ kind: "kept", name })}>
          Keep in this browser
        </button>
      </div>
      <p role="status" class="fine">
        {saved}
      </p>
    </section>
  );
}

const savedText = ({ folder, files }: Saved) =>
  `Saved ${files.length} files, ${bytes(files.reduce((sum, file) => sum + file.bytes, 0))}, as ${folder}.`;

/** Hands the model to the browser as a zip file. */
async function download(): Promise<string> {
  const file = await runTask("Packing", ({ signal }) => call("zip", {}, { signal }));
  if (!file) return "";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file.blob);
  link.download = file.name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return `Downloaded ${file.name}, ${bytes(file.blob.size)}: unpack it to open the folder again.`;
}
