"""Judging a choice where labels exist."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from adamms.prompts.labels import Label
from adamms.runs.responses import Responses
from adamms.runs.values import format_value


@dataclass(frozen=True)
class Judgement:
    """How good a chosen alpha is, in points of accuracy (0 to 100).

    Attributes:
        accuracy: of every candidate.
        donor: the donor's own accuracy, in its own architecture.
        baselines: other methods' accuracies.
        oracle: the candidate of the highest accuracy (the smallest alpha of several).
        regret: how far the chosen one stays behind it.
        rank_correlation: Spearman's, between divergence and accuracy of the scored candidates; None where it is
            not defined. The paper's idea is that it is negative.
    """

    chosen: float
    accuracy: Mapping[float, float]
    donor: float | None
    oracle: float
    regret: float
    rank_correlation: float | None
    baselines: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON takes it, with alphas written as in `selection.json`."""
        return {**asdict(self), "accuracy": {format_value(alpha): value for alpha, value in self.accuracy.items()}}


def accuracy(answers: Mapping[str, str], labels: Mapping[str, Label]) -> float:
    """Percentage of labelled prompts that are answered right."""
    right = sum(label.accepts(answers[i]) for i, label in labels.items())
    return 100 * right / len(labels)


def judge(
    chosen: float,
    scores: Mapping[float, float | None],
    responses: Responses,
    labels: Mapping[str, Label],
    donor: Mapping[str, str] | None = None,
    baselines: Mapping[str, Mapping[str, str]] | None = None,
) -> Judgement:
    """Judges a choice by the candidates' answers to labelled prompts.

    Args:
        scores: the divergences that the choice was made by.
        donor: the donor's own answers to the same prompts.
        baselines: other methods' answers.
    """
    found = {alpha: accuracy(answers, labels) for alpha, answers in sorted(responses.items())}
    oracle = max(found, key=lambda alpha: (found[alpha], -alpha))
    scored = {alpha: score for alpha, score in scores.items() if score is not None and alpha in found}
    return Judgement(
        chosen=chosen,
        accuracy=found,
        donor=accuracy(donor, labels) if donor is not None else None,
        oracle=oracle,
        regret=found[oracle] - found[chosen],
        rank_correlation=spearman([scored[a] for a in scored], [found[a] for a in scored]),
        baselines={name: accuracy(answers, labels) for name, answers in (baselines or {}).items()},
    )


def spearman(first: list[float], second: list[float]) -> float | None:
    """Spearman's rank correlation, ties given their mean rank; None if one of the lists is constant."""
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)
