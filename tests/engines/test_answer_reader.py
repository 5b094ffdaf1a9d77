from __future__ import annotations

import pytest

from adamms.engines.answer_reader import AnswerReader

END = 0


class Letters:
    """A chat whose tokens are letters: 1 is a, 2 is b, ..."""

    ends = frozenset({END})

    @property
    def tokenizer(self) -> Letters:
        return self

    def decode(self, tokens: list[int], skip_special_tokens: bool) -> str:
        return "".join(chr(96 + token) for token in tokens)


def reader(max_tokens: int = 5, stop: tuple[str, ...] = ()) -> AnswerReader:
    return AnswerReader(Letters(), max_tokens, stop)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("generated", "text", "reason"),
    [
        ([1, 2, END], "ab", "stop"),
        ([1, 2, END, 3], "ab", "stop"),
        ([END], "", "stop"),
        ([1, 2, 3, 4, 5], "abcde", "length"),
        ([1, 2, 3, 4, 5, 6], "abcde", "length"),
        ([1, 2, 3, 4, END], "abcd", "stop"),
    ],
)
def test_an_answer_ends_at_an_ending_token_or_at_its_longest(generated: list[int], text: str, reason: str) -> None:
    answer = reader().read("p", generated, [-0.1 * token for token in generated])
    assert (answer.text, answer.finish_reason) == (text, reason)
    assert answer.tokens == tuple(ord(letter) - 96 for letter in text)
    told = generated[: len(text) + (reason == "stop")]
    assert answer.logprobs == tuple(-0.1 * token for token in told), "the token that ended it included"


def test_an_answer_ends_before_the_first_stop_string_whose_tokens_it_keeps() -> None:
    answer = reader(stop=("d", "bc")).read("p", [1, 2, 3, 4, END], [-0.1, -0.2, -0.3, -0.4, -0.5])
    assert (answer.text, answer.tokens, answer.finish_reason) == ("a", (1, 2, 3), "stop")
    assert answer.logprobs == (-0.1, -0.2, -0.3)


def test_decoding_goes_on_only_where_nothing_ended_the_answer() -> None:
    assert not reader(stop=("bc",)).complete([1, 2])
    assert reader(stop=("bc",)).complete([1, 2, 3])
    assert reader().complete([1, END])
    assert reader().complete([1, 2, 3, 4, 5])
    assert not reader().complete([])
