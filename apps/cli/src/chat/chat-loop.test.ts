import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { run } from "../program";
import { temporaryFolder } from "../testing";

/** A terminal with somebody who types when something is shown. */
class Person {
  private readonly keys = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} });
  private readonly screen = Object.assign(new PassThrough(), { isTTY: true, columns: 100 });
  private seen = "";
  private looking: { readonly text: string; readonly found: () => void } | undefined;

  constructor() {
    this.screen.on("data", (data) => this.look(String(data)));
  }

  /** Begins a chat; resolves to its exit code. */
  async chat(maxTokens: number): Promise<number> {
    const argv = ["chat", "sample", "--threads", "1", "--max-tokens", String(maxTokens)];
    return run(argv, {
      stdin: this.keys,
      stdout: this.screen,
      stderr: { write: (text: string) => this.look(text), isTTY: true, columns: 100 },
      env: { XDG_STATE_HOME: await temporaryFolder(), NO_COLOR: "1" },
      signal: new AbortController().signal,
    });
  }

  /** Waits until something is shown that was not before. */
  sees(text: string): Promise<void> {
    return new Promise((found) => {
      this.looking = { text, found };
      this.look("");
    });
  }

  types(text: string): void {
    this.keys.write(text);
  }

  private look(text: string): void {
    this.seen += text;
    const { looking } = this;
    const at = looking ? this.seen.indexOf(looking.text) : -1;
    if (at < 0) return;
    this.seen = this.seen.slice(at + looking!.text.length);
    this.looking = undefined;
    looking!.found();
  }
}

const controlC = "\u0003";
const controlD = "\u0004";

it("stops an answer at Ctrl-C and goes on with the conversation", async () => {
  const person = new Person();
  const code = person.chat(900);
  await person.sees("> ");
  person.types("Tell me a long story.\r");
  await person.sees("reading");
  // What says so is taken away before the first words.
  await person.sees("\r\u001B[K");
  person.types(controlC);
  await person.sees("stopped after ");
  await person.sees("> ");
  person.types("/stats\r");
  await person.sees("2 messages");
  person.types(controlD);
  expect(await code).toBe(0);
});

it("leaves at the second Ctrl-C where there is nothing to stop", async () => {
  const person = new Person();
  const code = person.chat(900);
  await person.sees("> ");
  person.types(controlC);
  await person.sees("Ctrl-C once more");
  person.types(controlC);
  expect(await code).toBe(0);
});

it("keeps what is typed during an answer for the next prompt", async () => {
  const person = new Person();
  const code = person.chat(60);
  await person.sees("> ");
  person.types("Hello\r");
  await person.sees("reading");
  person.types("/stats\r/ex");
  await person.sees("60 written");
  await person.sees("> /stats\n");
  await person.sees("2 messages");
  await person.sees("> /ex");
  person.types("it\r");
  expect(await code).toBe(0);
});
