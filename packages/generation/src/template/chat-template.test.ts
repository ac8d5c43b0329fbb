import { describe, expect, it } from "vitest";
import { byteLevelMetadata, readJson } from "../testing/golden";
import { Tokenizer } from "../tokenizer/tokenizer";
import type { TemplateBudget } from "./budget";
import { ChatTemplate, type ChatMessage, type RenderOptions } from "./chat-template";

/** What tools/golden/chat_template.py writes. */
const golden = readJson("../../golden/chat-templates.json") as {
  readonly templates: Readonly<Record<string, string>>;
  readonly cases: readonly {
    readonly template: string;
    readonly messages: readonly ChatMessage[];
    readonly options: RenderOptions;
    readonly text: string;
  }[];
};

const hello: readonly ChatMessage[] = [{ role: "user", content: "Hello" }];
const code = (name: string, text = "") =>
  expect.objectContaining({
    code: name,
    message: expect.stringContaining(text) as string,
  }) as Error;

function render(source: string, budget?: TemplateBudget, messages = hello): string {
  return new ChatTemplate(source, { bos_token: "<s>" }, budget).render(messages, {
    now: () => new Date(2024, 6, 4, 15, 5, 9),
  });
}

describe("ChatTemplate", () => {
  it.each(golden.cases.map((entry, index) => [`${entry.template} ${index}`, entry] as const))(
    "writes what transformers writes: %s",
    (_, { template, messages, options, text }) => {
      const made = new ChatTemplate(golden.templates[template]!, { bos_token: "<s>" });
      expect(made.render(messages, options)).toBe(text);
    },
  );

  it("knows the special tokens of the tokenizer's config and its own template", () => {
    const config = {
      bos_token: { content: "<s>" },
      eos_token: "</s>",
      chat_template: [
        { name: "tool_use", template: "other" },
        { name: "default", template: "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}" },
      ],
    };
    expect(ChatTemplate.fromConfig(config)?.render(hello)).toBe("<s>Hello</s>");
    expect(ChatTemplate.fromConfig({})).toBeUndefined();
    const fromGguf = Tokenizer.fromGguf(byteLevelMetadata("gpt-2")).config;
    expect(ChatTemplate.fromConfig(fromGguf)?.render([])).toBe("[]");
  });

  it("tells the date as Python does, in English", () => {
    const source = "{{ strftime_now('%d %b %Y, %A %B %y-%m %H:%M:%S %I%p 100%% %q') }}";
    expect(render(source)).toBe("04 Jul 2024, Thursday July 24-07 15:05:09 03PM 100% %q");
  });

  it("counts like Python", () => {
    expect(
      render("{{ range(3) | join }} {{ range(2, 9, 3) | join }} {{ range(3, 0, -1) | join }}"),
    ).toBe("012 258 321");
    expect(() => render("{{ range(0, 1, 0) }}")).toThrow(code("TemplateFailed", "range"));
  });

  it("hands on what a template refuses and where it fails", () => {
    expect(() => render("{{ raise_exception('No systems.') }}")).toThrow(
      code("TemplateFailed", "refused the messages: No systems."),
    );
    expect(() => render("{{ messages | nosuchfilter }}")).toThrow(
      code("TemplateFailed", "nosuchfilter"),
    );
    const { turns } = golden.templates;
    expect(() => render(turns!, {}, [...hello, ...hello])).toThrow(
      code("TemplateFailed", "Roles must alternate: user"),
    );
  });

  it("refuses a template that is none", () => {
    expect(() => new ChatTemplate("{% if %}")).toThrow(code("InvalidTemplate"));
    expect(() => new ChatTemplate("x".repeat(1 << 20))).toThrow(code("InvalidTemplate", "limit"));
  });
});

describe("a template's budget", () => {
  const loop = (times: number) => `{% for a in range(${times}) %}x{% endfor %}`;

  it.each<[string, string]>([
    ["a long loop", loop(4_000_000)],
    ["loops in loops", `${"{% for a in range(1000) %}".repeat(4)}x${"{% endfor %}".repeat(4)}`],
    ["a list without end", "{{ range(1000000000000) }}"],
    [
      "a text that doubles",
      `{% set ns = namespace(a='ab') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}`,
    ],
    [
      "a list that doubles",
      `{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}`,
    ],
    ["a wide indent", "{{ 'a\\nb' | indent(500000000) }}"],
    ["a wide indent by name", "{{ 'a\\nb' | indent(width=500000000) }}"],
    [
      "a replacement that makes much of little",
      "{% set text = range(60000) | join('aaaa') %}{{ text.replace('a', messages | tojson) }}",
    ],
    ["a wide separator", `{{ range(60000) | join('${"x".repeat(200)}') }}`],
    ["a wide indent of a block", "{% filter indent(500000000) %}a\nb{% endfilter %}"],
    ["wide JSON", "{{ messages | tojson(indent=500000000) }}"],
    [
      "repeated growth by replacing",
      `{% set ns = namespace(a='a') %}{% for i in range(40) %}{% set ns.a = ns.a.replace('a', 'aa') %}{% endfor %}`,
    ],
  ])("stops %s", (_, source) => {
    // Processor time: a busy machine stretches every other.
    const before = process.cpuUsage();
    expect(() => render(source)).toThrow(code("TemplateTooCostly"));
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(2000);
  });

  it("leaves what such functions do as it is", () => {
    const source =
      "{{ 'a-b-c'.replace('-', '+', 1) }} {{ 'a-b' | replace('-', '') }} {{ ['x', 'y'] | join(', ') }} " +
      "{{ 'a\nb' | indent(2) }} {{ 'a\nb' | indent(width=2, first=true) }} {{ {'k': [1]} | tojson(indent=1) }} " +
      "{{ ''.replace('', 'z') }} {% set x = 'q' %}{{ x.replace('q', x ~ x) | replace('q', 'r') }}" +
      "{% filter replace('t', 'T') %} {{ x }}t{% endfilter %}";
    expect(render(source)).toBe('a+b-c ab x, y a\n  b   a\n  b {\n "k": [\n  1\n ]\n} z rr qT');
  });

  it("stops a recursion that does not end", () => {
    const source =
      "{% set ns = namespace() %}{% macro m(ns) %}{{ ns.m(ns) }}{% endmacro %}{% set ns.m = m %}{{ m(ns) }}";
    expect(() => render(source)).toThrow(code("TemplateFailed", "call stack"));
  });

  it("is as large as it is said to be", () => {
    expect(render(loop(100), { steps: 500 })).toHaveLength(100);
    expect(() => render(loop(100), { steps: 50 })).toThrow(code("TemplateTooCostly", "50 steps"));
    expect(() => render(loop(100), { characters: 50 })).toThrow(
      code("TemplateTooCostly", "50 characters"),
    );
    const slow = { steps: Infinity, milliseconds: 20 };
    expect(() => render(loop(60_000), slow)).toThrow(code("TemplateTooCostly", "20 milliseconds"));
  });

  it("has room for a conversation of a thousand messages", () => {
    const turn = [
      { role: "user", content: "x".repeat(500) },
      { role: "assistant", content: "y".repeat(500) },
    ];
    const messages = Array.from({ length: 500 }, () => turn).flat();
    for (const name of ["SmolLM2", "tools", "turns"]) {
      // In steps and characters: how long they take is up to the machine.
      const text = render(golden.templates[name]!, { milliseconds: 60_000 }, messages);
      expect(text.length).toBeGreaterThan(500_000);
    }
  });
});
