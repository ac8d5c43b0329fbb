import type { Attack } from "../attack";
import { whole, withTemplate } from "../model";

const cases: readonly (readonly [code: string, name: string, template: string])[] = [
  ["InvalidTemplate", "a block without an end", "{% for message in messages %}"],
  ["InvalidTemplate", "an unknown statement", "{% frobnicate %}"],
  ["InvalidTemplate", "longer than any template", "x".repeat(300_000)],
  [
    "InvalidTemplate",
    "brackets ten thousand deep",
    `{{ ${"(".repeat(10_000)}1${")".repeat(10_000)} }}`,
  ],
  ["TemplateFailed", "a function that is not there", "{{ open('/etc/passwd').read() }}"],
  ["TemplateFailed", "a refusal", "{{ raise_exception('no system role') }}"],
  [
    "TemplateFailed",
    "the way out of a sandbox",
    "{{ ''.constructor.constructor('return process')().exit(3) }}",
  ],
  [
    "TemplateTooCostly",
    "loops within loops",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
  ],
  ["TemplateTooCostly", "a list of a billion", "{{ range(1000000000) | length }}"],
  [
    "TemplateTooCostly",
    "text that doubles itself",
    "{% set x = namespace(v='x') %}{% for a in range(99) %}{% set x.v = x.v + x.v %}{% endfor %}{{ x.v }}",
  ],
  [
    "TemplateTooCostly",
    "more text than anybody reads",
    "{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}",
  ],
  [
    "TemplateFailed",
    "a macro that calls itself, which it cannot",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
  ],
];

export const attacks: readonly Attack[] = cases.map(([code, name, template]) => ({
  kind: "template",
  name,
  code,
  bad: withTemplate(template),
  twin: whole,
}));
