import { useState } from "preact/hooks";
import { choiceFromDrop, choiceFromFiles, hasDirectoryPicker, pickDirectory } from "../choosing";
import { kept, open, removeKept } from "../state/session";
import { task } from "../state/task";
import type { ModelChoice } from "../worker/sources";

/** Where a model can come from. */
export function Chooser() {
  const [over, setOver] = useState(false);
  const busy = task.value !== undefined;
  const choose = (choice: ModelChoice | undefined) => {
    if (choice && !busy) void open(choice);
  };
  return (
    <section aria-labelledby="chooser-heading">
      <h2 id="chooser-heading">Choose a model</h2>
      <div class="choices">
        <div class="card">
          <h3>The sample</h3>
          <p>
            A llama of 2.9 million parameters that writes like Shakespeare's plays. 5.7 MB, part of
            this page.
          </p>
          <button
            type="button"
            class="primary"
            disabled={busy}
            onClick={() => choose({ kind: "sample" })}
          >
            Open the sample model
          </button>
        </div>
        <div
          class={over ? "card drop over" : "card drop"}
          onDragOver={(event) => {
            event.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={(event) => {
            event.preventDefault();
            setOver(false);
            void choiceFromDrop(event.dataTransfer!).then(choose);
          }}
        >
          <h3>One of yours</h3>
          <p>
            A folder as Hugging Face has it (config.json, safetensors, tokenizer.json) or a GGUF
            file. Drop it here, or choose it. It is read where it is.
          </p>
          <div class="row">
            <FolderButton busy={busy} choose={choose} />
            <label class="button">
              Choose a GGUF file
              <input
                type="file"
                accept=".gguf"
                disabled={busy}
                onChange={({ currentTarget }) => choose(choiceFromFiles(currentTarget.files))}
              />
            </label>
          </div>
        </div>
        <HubForm busy={busy} choose={choose} />
        {kept.value.length > 0 && <KeptModels busy={busy} choose={choose} />}
      </div>
    </section>
  );
}

interface Choosing {
  readonly busy: boolean;
  readonly choose: (choice: ModelChoice | undefined) => void;
}

function FolderButton({ busy, choose }: Choosing) {
  if (hasDirectoryPicker()) {
    const pick = async () => {
      const handle = await pickDirectory("read");
      choose(handle && { kind: "directory", handle });
    };
    return (
      <button type="button" disabled={busy} onClick={() => void pick()}>
        Choose a folder
      </button>
    );
  }
  return (
    <label class="button">
      Choose a folder
      <input
        type="file"
        disabled={busy}
        {...{ webkitdirectory: true }}
        onChange={({ currentTarget }) => choose(choiceFromFiles(currentTarget.files))}
      />
    </label>
  );
}

function HubForm({ busy, choose }: Choosing) {
  const [id, setId] = useState("");
  return (
    <form
      class="card"
      onSubmit={(event) => {
        event.preventDefault();
        choose({ kind: "hub", id });
      }}
    >
      <h3>From the Hugging Face hub</h3>
      <p>
        <label for="hub-id">
          An id such as org/name. It is downloaded by your browser, which must have room for it.
        </label>
      </p>
      <div class="row">
        <input
          id="hub-id"
          placeholder="org/name"
          autocapitalize="off"
          spellcheck={false}
          value={id}
          onInput={({ currentTarget }) => setId(currentTarget.value)}
        />
        <button type="submit" disabled={busy || id === ""}>
          Download
        </button>
      </div>
    </form>
  );
}

function KeptModels({ busy, choose }: Choosing) {
  return (
    <div class="card">
      <h3>Kept in this browser</h3>
      <ul class="kept">
        {kept.value.map((name) => (
          <li key={name}>
            <button type="button" disabled={busy} onClick={() => choose({ kind: "kept", name })}>
              Open {name}
            </button>
            <button
              type="button"
              class="quiet"
              disabled={busy}
              onClick={() => void removeKept(name)}
            >
              Remove<span class="hidden"> {name}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
