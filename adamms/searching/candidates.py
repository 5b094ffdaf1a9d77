"""The candidates of a running search: stored as their answers come, complete when all are there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from operator import or_

from adamms.engines.actor import UnitResult
from adamms.engines.engine import NO_EFFORT
from adamms.engines.peak import NO_MEMORY, PeakMemory
from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.runs.answers import Answers
from adamms.runs.candidate import CandidateRecord
from adamms.runs.record import Response
from adamms.runs.responses import Responses
from adamms.runs.values import format_value
from adamms.searching.coefficient import FEWEST

Work = dict[float, list[Prompt]]
"""candidate's value -> prompts that it is to answer"""


class CandidateBook:
    """Keeps, for every candidate, what is answered, what it cost, and why it failed if it did.

    Args:
        answers: where answers are stored.
        prompts: all that a candidate may be asked; one that has answered them all is complete.
    """

    def __init__(self, answers: Answers, prompts: Sequence[Prompt]) -> None:
        self._answers = answers
        self._prompts = {prompt.id: prompt for prompt in prompts}
        self._same: dict[str, list[Prompt]] = {}
        for prompt in prompts:
            self._same.setdefault(prompt.digest, []).append(prompt)
        self._results: dict[float, list[UnitResult]] = {}
        self._told: set[float] = set()
        self._wanted: dict[float, set[str]] = {}  # value -> digests of the prompts that it is asked
        self.errors: dict[float, str] = {}

    @property
    def asked(self) -> int:
        """How many answers the search has asked for; those that were stored already count too, equal prompts once."""
        return sum(map(len, self._wanted.values()))

    def missing(self, work: Mapping[float, Sequence[Prompt]]) -> Work:
        """What of the work is not stored; of equal prompts the first. Candidates with nothing left are left out."""
        found: Work = {}
        for value, prompts in work.items():
            different = {prompt.digest: prompt for prompt in reversed(prompts)}
            self._wanted.setdefault(value, set()).update(different)
            left = [prompt for prompt in reversed(different.values()) if self._answers.get(value, prompt) is None]
            if left and value not in self.errors:
                found[value] = left
        return found

    def add(self, result: UnitResult) -> None:
        """Stores a unit's answers, or why its candidate failed."""
        value = result.candidate.value
        self._results.setdefault(value, []).append(result)
        if result.error is not None:
            self.errors[value] = result.error
            return
        rows = [(same, a) for a in result.answers for same in self._same[self._prompts[a.prompt_id].digest]]
        self._answers.save(value, [prompt for prompt, _ in rows], [answer for _, answer in rows])

    def complete(self, values: Iterable[float]) -> Iterator[CandidateRecord]:
        """Those of the candidates that have answered everything, or failed, and were not given before."""
        for value in values:
            if value in self.errors or all(self._answers.get(value, prompt) for prompt in self._prompts.values()):
                yield from self._record(value)

    def incomplete(self) -> Iterator[CandidateRecord]:
        """At the end of a search: the candidates that were not given before, because it stopped short of them."""
        for value in sorted(self._wanted):
            yield from self._record(value)

    def responses(self, values: Sequence[float], prompts: Sequence[Prompt]) -> Responses:
        """The answers of those candidates that did not fail.

        Raises:
            UserError: fewer than three are left.
        """
        sound = [value for value in values if value not in self.errors]
        if len(sound) < min(FEWEST, len(values)):
            reasons = "; ".join(f"{format_value(value)}: {error}" for value, error in self.errors.items())
            raise UserError(f"too many candidates failed to choose among the others: {reasons}")
        return {value: self.answers_at(value, prompts) for value in sound}

    def answers_at(self, value: float, prompts: Sequence[Prompt] | None = None) -> dict[str, str]:
        """One candidate's answers; to all prompts unless some are named.

        Raises:
            UserError: it failed.
        """
        if value in self.errors:
            raise UserError(f"candidate {format_value(value)}: {self.errors[value]}")
        asked = self._prompts.values() if prompts is None else prompts
        stored = ((prompt, self._answers.get(value, prompt)) for prompt in asked)
        return {p.id: Response.of(record) for p, record in stored if record is not None}

    def seconds(self) -> tuple[float, float]:
        """Time that actors spent on re-merging and on answering, in this run of the command."""
        results = self._all_results()
        return sum(r.move_seconds for r in results), sum(r.generate_seconds for r in results)

    def memory(self) -> PeakMemory:
        """The most that any engine had while it worked on a unit, in this run of the command."""
        return _peak(self._all_results())

    def _all_results(self) -> list[UnitResult]:
        return [result for found in self._results.values() for result in found]

    def _record(self, value: float) -> Iterator[CandidateRecord]:
        if value in self._told:
            return
        self._told.add(value)
        if value in self.errors:
            yield CandidateRecord(value, error=self.errors[value])
            return
        results = self._results.get(value, [])
        stored = [self._answers.get(value, prompt) for prompt in self._prompts.values()]
        records = [record for record in stored if record is not None]
        yield CandidateRecord(
            value,
            answers=len(records),
            tokens=sum({record.key: record.tokens for record in records}.values()),
            digest=next((result.digest for result in results), ""),
            move_seconds=sum(result.move_seconds for result in results),
            generate_seconds=sum(result.generate_seconds for result in results),
            measured=_measured(results),
            timed=sum(len(result.answers) for result in results),
        )


def _measured(results: Sequence[UnitResult]) -> dict[str, float]:
    """What the units of a candidate took together; nothing for one that was finished before."""
    if not results:
        return {}
    return asdict(sum((result.effort for result in results), NO_EFFORT)) | _peak(results).to_gb()


def _peak(results: Sequence[UnitResult]) -> PeakMemory:
    return reduce(or_, (result.memory for result in results), NO_MEMORY)
