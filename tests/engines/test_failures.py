"""What is said of an engine that failed."""

import pytest
from ray.exceptions import RayTaskError

from adamms.engines.failures import Failure

REMOTE = """ray::EngineActor.ready() (pid=7, ip=127.0.0.1)
  File "/repo/adamms/engines/actor.py", line 57, in ready
    self._engine = build(spec)
  File "/vllm/rotary.py", line 231, in __init__
    assert sum(self.mrope_section) == self.rotary_dim // 2
AssertionError{words}
"""
WHERE = 'assert sum(self.mrope_section) == self.rotary_dim // 2 File "/vllm/rotary.py", line 231, in __init__'


@pytest.mark.parametrize(("words", "reason"), [("", WHERE), ("sections\nand more", "sections")])
def test_an_error_without_words_is_told_by_its_place(words: str, reason: str) -> None:
    error = RayTaskError("ready", REMOTE.format(words=f": {words}" if words else ""), AssertionError(words))
    assert Failure.of(error).reason == f"AssertionError: {reason}"
