"""The candidates of a running search: stored as their answers come, complete when all are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from operator import or_

from adamms.engines.engine import NO_EFFORT
from adamms.engines.peak import NO_MEMORY, PeakMemory
from adamms.engines.pool import UnitResult
from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.runs.candidate import CandidateRecord
from adamms.runs.responses import Response, Responses, format_alpha
from adamms.runs.run_folder import RunFolder

Work = dict[float, list[Prompt]]
"""alpha -> prompts that it is to answer"""


class CandidateBook:
    """Keeps, for every alpha, what is answered, what it cost, and why it failed if it did.

    Args:
        prompts: all that a candidate may be asked; one that has answered them all is complete.
    """

    def __init__(self, run: RunFolder, prompts: Sequence[Prompt]) -> None:
        self._run = run
        self._prompts = {prompt.id: prompt for prompt in prompts}
        self._same: dict[str, list[Prompt]] = {}
        for prompt in prompts:
            self._same.setdefault(prompt.digest, []).append(prompt)
        self._stored = {record.key: record for record in run.store.load()}
        self._results: dict[float, list[UnitResult]] = {}
        self._reported: set[float] = set()
        self._wanted: dict[float, set[str]] = {}  # alpha -> keys of the answers asked for
        self.errors: dict[float, str] = {}

    @property
    def answers(self) -> int:
        """How many answers the search has asked for; those that were stored already count too, equal prompts once."""
        return sum(map(len, self._wanted.values()))

    def missing(self, work: Mapping[float, Sequence[Prompt]]) -> Work:
        """What of the work is not stored; of equal prompts the first. Alphas with nothing left are left out."""
        found: Work = {}
        for alpha, prompts in work.items():
            keyed = {self._run.key(alpha, prompt): prompt for prompt in reversed(prompts)}
            self._wanted.setdefault(alpha, set()).update(keyed)
            left = [prompt for key, prompt in reversed(keyed.items()) if key not in self._stored]
            if left and alpha not in self.errors:
                found[alpha] = left
        return found

    def add(self, result: UnitResult) -> None:
        """Stores a unit's answers, or why its candidate failed."""
        self._results.setdefault(result.alpha, []).append(result)
        if result.error is not None:
            self.errors[result.alpha] = result.error
            return
        rows = [(same, a) for a in result.answers for same in self._same[self._prompts[a.prompt_id].digest]]
        for record in self._run.save(result.alpha, [prompt for prompt, _ in rows], [answer for _, answer in rows]):
            self._stored.setdefault(record.key, record)

    def complete(self, alphas: Iterable[float]) -> Iterator[CandidateRecord]:
        """Those of the candidates that have answered everything, or failed, and were not given before."""
        for alpha in alphas:
            everything = self._prompts.values()
            if alpha in self.errors or all(self._run.key(alpha, p) in self._stored for p in everything):
                yield from self._record(alpha)

    def incomplete(self) -> Iterator[CandidateRecord]:
        """At the end of a search: the candidates that were not given before, because it stopped short of them."""
        for alpha in sorted(self._wanted):
            yield from self._record(alpha)

    def responses(self, alphas: Sequence[float], prompts: Sequence[Prompt]) -> Responses:
        """The answers of those candidates that did not fail.

        Raises:
            UserError: fewer than three are left.
        """
        sound = [alpha for alpha in alphas if alpha not in self.errors]
        if len(sound) < min(3, len(alphas)):
            reasons = "; ".join(f"alpha {format_alpha(alpha)}: {error}" for alpha, error in self.errors.items())
            raise UserError(f"too many candidates failed to choose among the others: {reasons}")
        return {alpha: self.answers_at(alpha, prompts) for alpha in sound}

    def answers_at(self, alpha: float, prompts: Sequence[Prompt] | None = None) -> dict[str, str]:
        """One candidate's answers; to all prompts unless some are named.

        Raises:
            UserError: it failed.
        """
        if alpha in self.errors:
            raise UserError(f"alpha {format_alpha(alpha)}: {self.errors[alpha]}")
        asked = self._prompts.values() if prompts is None else prompts
        stored = ((prompt, self._stored.get(self._run.key(alpha, prompt))) for prompt in asked)
        return {p.id: Response(record.response, record.logprobs) for p, record in stored if record is not None}

    def seconds(self) -> tuple[float, float]:
        """Time that actors spent on re-merging and on answering, in this run of the command."""
        results = self._all_results()
        return sum(r.move_seconds for r in results), sum(r.generate_seconds for r in results)

    def memory(self) -> PeakMemory:
        """The most that any engine had while it worked on a unit, in this run of the command."""
        return _peak(self._all_results())

    def _all_results(self) -> list[UnitResult]:
        return [result for found in self._results.values() for result in found]

    def _record(self, alpha: float) -> Iterator[CandidateRecord]:
        if alpha in self._reported:
            return
        self._reported.add(alpha)
        if alpha in self.errors:
            yield CandidateRecord(alpha, error=self.errors[alpha])
            return
        answers, results = self.answers_at(alpha), self._results.get(alpha, [])
        keys = {self._run.key(alpha, self._prompts[name]) for name in answers}
        yield CandidateRecord(
            alpha,
            answers=answers,
            questions={name: self._prompts[name].text for name in answers},
            tokens=sum(self._stored[key].tokens for key in keys),
            digest=next((result.digest for result in results), ""),
            move_seconds=sum(result.move_seconds for result in results),
            generate_seconds=sum(result.generate_seconds for result in results),
            measured=_measured(results),
        )


def _measured(results: Sequence[UnitResult]) -> dict[str, float]:
    """What the units of a candidate took together; nothing for one that was finished before."""
    if not results:
        return {}
    return asdict(sum((result.effort for result in results), NO_EFFORT)) | _peak(results).to_gb()


def _peak(results: Sequence[UnitResult]) -> PeakMemory:
    return reduce(or_, (result.memory for result in results), NO_MEMORY)
