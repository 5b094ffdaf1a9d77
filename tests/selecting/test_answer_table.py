"""What is compared: the prompts that every candidate has answered."""

from __future__ import annotations

import pytest

from adamms.errors import UserError
from adamms.selecting.answer_table import AnswerTable


def test_compares_the_prompts_that_all_have_answered() -> None:
    found = AnswerTable.of({0.2: {"p": "a", "q": "b"}, 0.1: {"p": "c", "r": "d"}})
    assert (found.values, found.prompt_ids, found.answers, found.dropped) == ((0.1, 0.2), ("p",), (("c",), ("a",)), 2)


@pytest.mark.parametrize("responses", [{}, {0.1: {}}, {0.1: {"p": "a"}, 0.2: {"q": "a"}}])
def test_nothing_in_common(responses: dict[float, dict[str, str]]) -> None:
    with pytest.raises(UserError, match="no prompt was answered by every candidate"):
        AnswerTable.of(responses)
