"""The candidates of a running search: stored as their answers come, complete when all are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from adamms.errors import UserError
from adamms.generation.engine import NO_EFFORT
from adamms.generation.pool import UnitResult
from adamms.generation.prompts import Prompt
from adamms.searching.divergence import measure
from adamms.searching.metrics import get_metric
from adamms.searching.responses import Responses, comparison_set
from adamms.searching.run_folder import RunFolder
from adamms.searching.selection import Selection
from adamms.tracking.candidate import CandidateRecord

LOGGED_METRICS = ("either", "sum")  # cheap counts, logged for every candidate whichever metric chooses


class CandidateBook:
    """Keeps, for every alpha, what is answered, what it cost, and why it failed if it did."""

    def __init__(self, run: RunFolder, alphas: Sequence[float], prompts: Sequence[Prompt]) -> None:
        self._run, self._alphas = run, list(alphas)
        self._prompts = {prompt.id: prompt for prompt in prompts}
        self._left = {alpha: len(left) for alpha, left in run.missing(alphas, prompts).items()}
        self._results: dict[float, list[UnitResult]] = {alpha: [] for alpha in alphas}
        self._errors: dict[float, str] = {}

    def finished(self) -> Iterator[CandidateRecord]:
        """Candidates that an earlier run of the command has completed."""
        return (self._record(alpha) for alpha in self._alphas if alpha not in self._left)

    def add(self, result: UnitResult) -> Iterator[CandidateRecord]:
        """Stores a unit's answers; gives its candidate if that is complete now, or has failed."""
        self._results[result.alpha].append(result)
        if result.error is not None:
            self._errors[result.alpha] = result.error
            yield CandidateRecord(result.alpha, error=result.error)
            return
        self._run.save(result.alpha, [self._prompts[a.prompt_id] for a in result.answers], result.answers)
        self._left[result.alpha] -= len(result.answers)
        if self._left[result.alpha] == 0 and result.alpha not in self._errors:
            yield self._record(result.alpha)

    def responses(self) -> Responses:
        """The answers of all candidates that did not fail.

        Raises:
            UserError: fewer than three are left.
        """
        alphas = [alpha for alpha in self._alphas if alpha not in self._errors]
        if len(alphas) < 3:
            reasons = "; ".join(f"alpha {alpha}: {error}" for alpha, error in self._errors.items())
            raise UserError(f"too many candidates failed to choose among the others: {reasons}")
        return self._run.responses(alphas, list(self._prompts.values()))

    def answers_at(self, alpha: float) -> dict[str, str]:
        """One candidate's answers.

        Raises:
            UserError: it failed.
        """
        if alpha in self._errors:
            raise UserError(f"alpha {alpha}: {self._errors[alpha]}")
        return self._run.responses([alpha], list(self._prompts.values()))[alpha]

    def scores(self, selection: Selection) -> dict[float, dict[str, float]]:
        """What the dashboard shows of each candidate's answers: divergences, their parts, degeneracy rates."""
        table: dict[float, dict[str, float]] = {alpha: {} for alpha in selection.scores}
        comparison = comparison_set(self.responses())
        for name in dict.fromkeys((*LOGGED_METRICS, selection.metric)):
            divergence = measure(comparison, get_metric(name), "exclude")
            for alpha, score in zip(divergence.alphas, divergence.score.sum(axis=1), strict=True):
                table[alpha][name] = score
        for alpha, values in table.items():
            values["left"], values["right"] = _real(selection.left.get(alpha)), _real(selection.right.get(alpha))
            values.update({f"rate_{fault}": rate for fault, rate in selection.degeneracy[alpha].rates.items()})
        return {alpha: {k: v for k, v in values.items() if v == v} for alpha, values in table.items()}

    def seconds(self) -> tuple[float, float]:
        """Time that actors spent on re-merging and on answering, in this run of the command."""
        results = [result for found in self._results.values() for result in found]
        return sum(r.move_seconds for r in results), sum(r.generate_seconds for r in results)

    def tokens(self) -> dict[float, int]:
        """Generated tokens by alpha, those of earlier runs of the command included."""
        prompts = list(self._prompts.values())
        return {alpha: sum(r.tokens for r in self._run.records(alpha, prompts)) for alpha in self._alphas}

    def _record(self, alpha: float) -> CandidateRecord:
        records = self._run.records(alpha, list(self._prompts.values()))
        results = self._results[alpha]
        return CandidateRecord(
            alpha,
            answers={record.prompt_id: record.response for record in records},
            questions={record.prompt_id: self._prompts[record.prompt_id].text for record in records},
            tokens=sum(record.tokens for record in records),
            digest=next((result.digest for result in results), ""),
            move_seconds=sum(result.move_seconds for result in results),
            generate_seconds=sum(result.generate_seconds for result in results),
            measured=asdict(sum((result.effort for result in results), NO_EFFORT)) if results else {},
        )


def _real(value: float | None) -> float:
    return float("nan") if value is None else value
