"""What the Rust crate `safetensors` (by its Python binding) says of the bad files of attacks/corpus/safetensors.ts.

TRANSMLA_ATTACKS=/tmp/attacks npx vitest run --config vitest.trust.config.ts attacks/corpus
.venv/bin/python tools/golden/attacks.py /tmp/attacks
"""

import json
import sys
from pathlib import Path

from safetensors import SafetensorError, safe_open

verdicts = {}
for folder in sorted(Path(sys.argv[1], "safetensors").iterdir()):
    if folder.name.startswith("twin "):
        continue
    try:
        with safe_open(folder / "model.safetensors", "numpy") as file:
            file.keys()
        verdicts[folder.name] = None
    except SafetensorError as error:
        verdicts[folder.name] = str(error)[:120]
out = Path(__file__).resolve().parents[2] / "attacks" / "crate-verdicts.json"
out.write_text(json.dumps(verdicts, indent=2, ensure_ascii=False) + "\n")
