from collections.abc import Sequence
from itertools import takewhile

from adamms.engines.chat import Chat
from adamms.engines.engine import Answer
from adamms.prompts.prompt import Given, Prompt


class AnswerReader:
    """Knows where an answer ends, for every engine: at an ending token, before a stop string, or at `max_tokens`."""

    def __init__(self, chat: Chat, max_tokens: int, stop: Sequence[str] = ()) -> None:
        self._chat, self._max_tokens, self._stops = chat, max_tokens, tuple(stop)

    def read(self, prompt_id: str, generated: Sequence[int], logprobs: Sequence[float]) -> Answer:
        """The answer that these tokens are, with the log-probability of each; what was generated after its end is cut
        off."""
        tokens = list(takewhile(lambda token: token not in self._chat.ends, generated))[: self._max_tokens]
        ended = len(tokens) < min(len(generated), self._max_tokens)
        length = self._stop(tokens)
        if length is not None:
            text = self._text(tokens[:length])
            return Answer(prompt_id, text[: self._find(text)], tuple(tokens[:length]), "stop", tuple(logprobs[:length]))
        sure = tuple(logprobs[: len(tokens) + ended])
        return Answer(prompt_id, self._text(tokens), tuple(tokens), "stop" if ended else "length", sure)

    def tokens_of(self, given: Given) -> list[int]:
        """A given answer as tokens of this model, with the one that ends it where it was not cut off."""
        tokens = list(self._chat.tokenizer(given.text, add_special_tokens=False)["input_ids"])
        own = self._chat.tokenizer.eos_token_id
        end = own if own in self._chat.ends else min(self._chat.ends, default=None)
        return [*tokens, end] if given.ended and end is not None else tokens

    def scored(self, prompt: Prompt, tokens: Sequence[int], logprobs: Sequence[float]) -> Answer:
        """The answer that a prompt brings along, from `tokens_of` it and the log-probability of each."""
        assert prompt.given is not None
        reason = "stop" if prompt.given.ended else "length"
        own = [token for token in tokens if token not in self._chat.ends]
        return Answer(prompt.id, prompt.given.text, tuple(own), reason, tuple(logprobs))

    def complete(self, generated: Sequence[int]) -> bool:
        """Whether decoding would not go on after these tokens."""
        return (
            len(generated) >= self._max_tokens
            or any(token in self._chat.ends for token in generated)
            or self._stop(generated) is not None
        )

    def _stop(self, tokens: Sequence[int]) -> int | None:
        """The number of tokens with which a stop string is complete."""
        if not self._stops or self._find(self._text(tokens)) < 0:
            return None
        return next(n for n in range(1, len(tokens) + 1) if self._find(self._text(tokens[:n])) >= 0)

    def _find(self, text: str) -> int:
        """Where the first stop string starts; -1 without one."""
        return min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=-1)

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self._chat.tokenizer.decode(list(tokens), skip_special_tokens=True))
