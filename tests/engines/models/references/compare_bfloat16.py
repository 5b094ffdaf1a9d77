"""How far bfloat16 is from float32, here and in the authors' own code: prints a table.

    python -m tests.engines.models.references.compare_bfloat16

The authors' answers in bfloat16 have to be made first (see the other scripts).

Compared are log-probabilities of the tokens that both answered, up to the first that differs.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.engines.models.test_authors import NAMES, Pair, reference
from tests.engines.vllm.test_engine import start
from tests.support import authors

HERE = Path(__file__).parent


def distance(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    """Tokens that agree before the first that does not, of all; mean and largest difference of log-probabilities."""
    agreed, total, differences = 0, 0, []
    for one, other in zip(ours, theirs, strict=True):
        total += len(other["tokens"])
        for i, (token, expected) in enumerate(zip(one["tokens"], other["tokens"], strict=False)):
            if token != expected:
                break
            agreed += 1
            differences.append(abs(one["logprobs"][i] - other["logprobs"][i]))
    mean = sum(differences) / max(len(differences), 1)
    return f"{agreed}/{total}, {mean:.3f}, {max(differences, default=0):.3f}"


def main() -> None:
    print("| model | ours, bf16 to float32 | theirs, bf16 to float32 | ours to theirs, bf16 |\n|---|---|---|---|")
    for name in ("llava", *NAMES):
        with tempfile.TemporaryDirectory() as folder:
            base = authors.AUTHORS[name](Path(folder, "base"))
            pair = Pair(name, base, base)
            answers = start(pair.spec(dtype="bfloat16")).generate(pair.prompts)
        ours = [{"tokens": answer.tokens, "logprobs": answer.logprobs} for answer in answers]
        theirs = json.loads((HERE / f"{name}-bfloat16.json").read_text())["answers"]
        exact = reference(name)
        print(
            f"| {name} | {distance(ours, exact)} | {distance(theirs, exact)} | {distance(ours, theirs)} |", flush=True
        )


if __name__ == "__main__":
    main()
