"""Every family that transformers knows maps whole, or is refused; the table is docs/families.md."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers

from tests.mapping.table_of_families import FILE, Row, row_of, table
from tests.support import families as f

transformers.utils.logging.set_verbosity_error()

SOME = [
    "qwen3_vl_moe", "qwen3_5_moe", "gemma4", "glm4v_moe", "llama4", "lfm2_vl", "qwen2_5_omni_thinker",
    "ernie4_5_vl_moe", "deepseek_ocr2", "mllama", "blip-2",
]  # fmt: skip


@pytest.mark.parametrize("kind", SOME)
def test_a_family_maps_whole(tmp_path: Path, kind: str) -> None:
    row = row_of(kind, f.image_text_families()[kind], tmp_path)
    assert row.result == "whole", row.why


@pytest.mark.parametrize(
    ("kind", "why"), [("florence2", "an encoder and a decoder"), ("idefics", "several stacks of 4 layers")]
)
def test_a_family_is_refused_for_its_reason(tmp_path: Path, kind: str, why: str) -> None:
    row = row_of(kind, f.image_text_families()[kind], tmp_path)
    assert row.result == "refused"
    assert why in row.why


@pytest.mark.slow
def test_the_table_of_all_families_is_the_one_in_the_docs(tmp_path: Path) -> None:
    rows = {title: [row_of(*one, tmp_path) for one in group.items()] for title, group in f.GROUPS.items()}
    assert [row for group in rows.values() for row in group if row.result == "in part"] == []
    found: list[Row] = rows["Images and text"]
    assert sum(row.result == "whole" for row in found) >= 60
    text = table(rows)
    print(text)
    assert FILE.read_text(encoding="utf-8") == text, "python -m tests.mapping.table_of_families writes it anew"
