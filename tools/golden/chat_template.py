"""Golden chat prompts, from the apply_chat_template of Hugging Face transformers.

    python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
    .venv/bin/python tools/golden/chat_template.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf --out packages/generation/golden

Writes chat-templates.json: the template of the GGUF file (SmolLM2, Apache-2.0) and templates written for this script that use
what published ones use (tools as JSON, macros, namespaces, loop controls, dates), and per case the template's name, the
messages and options, and the text.
"""

import argparse
import json
from pathlib import Path

from gguf import GGUFReader
from transformers.utils.chat_template_utils import render_jinja_template

TOOLS = """{{- bos_token }}
{%- if tools is not none and tools | length > 0 %}
{{- '<|system|>\\nYou may call:' }}
{%- for tool in tools %}
{{- '\\n' + (tool.function | tojson) }}
{%- endfor %}
{{- '\\n<|end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|tool|>\\n' ~ message.content ~ '<|end|>\\n' }}
{%- elif message.tool_calls is defined and message.tool_calls %}
{{- '<|assistant|>' }}
{%- for call in message.tool_calls %}
{{- '\\n<call>' + call.function.name + ' ' + (call.function.arguments | tojson(indent=2)) + '</call>' }}
{%- endfor %}
{{- '<|end|>\\n' }}
{%- else %}
{{- '<|' + message.role + '|>\\n' + message.content | trim + '<|end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{% endif %}
"""

TURNS = """{% macro turn(name, text, mark='#') -%}
{{ mark }}{{ name | upper }}: {{ text }}
{% endmacro -%}
{% set ns = namespace(last=none, count=0) -%}
{% for message in messages if message['role'] != 'system' %}
{% if message.role == ns.last %}{{ raise_exception('Roles must alternate: ' + message.role) }}{% endif %}
{% set ns.last = message.role %}{% set ns.count = ns.count + 1 %}
{% if message.content is string %}{{ turn(message.role, message.content) }}
{%- else %}
{%- for part in message.content %}{% if part.type == 'text' %}{{ turn(message.role, part.text, mark='*') }}{% endif %}{% endfor %}
{%- endif %}
{% endfor %}
{{ ns.count }} turns, last {{ messages[-1]['content'][:5] if messages[-1]['content'] is string else 'parts' }}, {{ 'even' if messages | length % 2 == 0 else 'odd' }}
{%- if add_generation_prompt %} ASSISTANT: {% endif %}
"""

USER = {"role": "user", "content": "What is 2 + 2?"}
SYSTEM = {"role": "system", "content": "Be brief.\n"}
ASSISTANT = {"role": "assistant", "content": "It's 4 \u2014 \u00ab\u56db\u00bb."}
MORE = {"role": "user", "content": "  And <|im_end|> '3' \"+\" \\3?  "}
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds <numbers> & 'more'.",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
    },
}
CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 2.5, "b": [1, None, True]}}}]}
RESULT = {"role": "tool", "content": "4"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}

CASES = [
    ("SmolLM2", [USER], {}),
    ("SmolLM2", [USER], {"addGenerationPrompt": False}),
    ("SmolLM2", [SYSTEM, USER, ASSISTANT, MORE], {}),
    ("tools", [SYSTEM, USER], {"tools": [TOOL, TOOL]}),
    ("tools", [USER, CALL, RESULT], {"tools": [TOOL]}),
    ("tools", [MORE, ASSISTANT], {"addGenerationPrompt": False}),
    ("turns", [SYSTEM, USER, ASSISTANT, MORE], {}),
    ("turns", [PARTS, ASSISTANT], {"addGenerationPrompt": False}),
    ("turns", [PARTS], {}),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", required=True, help="the quantised SmolLM2-135M-Instruct")
    parser.add_argument("--out", required=True, help="folder that receives chat-templates.json")
    arguments = parser.parse_args()
    field = GGUFReader(arguments.gguf).get_field("tokenizer.chat_template")
    templates = {"SmolLM2": field.contents(), "tools": TOOLS, "turns": TURNS}

    def text(name, messages, options):
        rendered, _ = render_jinja_template(
            conversations=[messages],
            tools=options.get("tools"),
            chat_template=templates[name],
            add_generation_prompt=options.get("addGenerationPrompt", True),
            bos_token="<s>",
        )
        return rendered[0]

    golden = {
        "templates": templates,
        "cases": [
            {"template": name, "messages": messages, "options": options, "text": text(name, messages, options)}
            for name, messages, options in CASES
        ],
    }
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    content = json.dumps(golden, indent=1, ensure_ascii=False)
    (out / "chat-templates.json").write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
