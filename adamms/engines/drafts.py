from collections.abc import Iterable

from adamms.engines.engine import Answer
from adamms.engines.schedule import Unit
from adamms.merging.candidate import Candidate


class Drafts:
    """The tokens of all answers so far, as drafts for other candidates: neighbours mostly answer alike."""

    def __init__(self) -> None:
        self._tokens: dict[str, dict[Candidate, tuple[int, ...]]] = {}

    def add(self, candidate: Candidate, answers: Iterable[Answer]) -> None:
        """Keeps what a candidate answered."""
        for answer in answers:
            self._tokens.setdefault(answer.prompt_id, {})[candidate] = answer.tokens

    def near(self, unit: Unit) -> dict[str, tuple[int, ...]]:
        """For each prompt of the unit that some candidate has answered, what the nearest one did; of two equally near,
        the one of the smaller value."""
        drafts = {}
        for prompt in unit.prompts:
            if answered := self._tokens.get(prompt.id):
                nearest = min(answered, key=lambda candidate: (unit.candidate.distance(candidate), candidate.value))
                drafts[prompt.id] = answered[nearest]
        return drafts
