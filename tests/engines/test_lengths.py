from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from adamms.engines.config import EngineConfig
from adamms.engines.lengths import fitting_prompts
from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from tests.support.specs import tiny_spec
from tests.support.tiny_models import picture, tiny_prompts


def test_prompts_that_are_too_long_are_reported_together(tiny: Callable[[str], Path]) -> None:
    spec = tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), max_model_len=200, max_tokens=50)
    prompts = [
        *tiny_prompts(3),
        Prompt("long", "word " * 60),
        Prompt("longer", "?", tuple(picture(i) for i in range(40))),
    ]
    with pytest.raises(UserError) as error:
        fitting_prompts(prompts, spec)
    assert "prompt long: " in str(error.value)
    assert "prompt longer: " in str(error.value)
    assert "prompt 0" not in str(error.value)
    assert fitting_prompts(prompts, spec, "skip") == prompts[:3]
    with pytest.raises(UserError, match="no prompt fits"):
        fitting_prompts(prompts[3:], spec, "skip")


def test_drafts_are_tried_unless_told_otherwise() -> None:
    assert EngineConfig().drafts
