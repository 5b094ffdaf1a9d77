"""The regrets of every way of choosing, over many pairs: narrow tasks and mixtures, by regime."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from adamms.reporting.tables import markdown_row
from pipelines.experiments.choices import Judged

CLOSE = 2.0
"""Points of accuracy: a choice within so many of the best candidate is a good one."""


@dataclass(frozen=True)
class Mean:
    """Of one number a pair (tasks of one pair are alike); `error` is the standard error over pairs, 0 for one pair."""

    value: float
    error: float

    @classmethod
    def over(cls, cases: Iterable[Judged], number: Callable[[Judged], float]) -> "Mean":
        """Of a number that every case has, averaged over each pair first."""
        pairs: dict[str, list[float]] = {}
        for case in cases:
            pairs.setdefault(case.pair, []).append(number(case))
        found = list(map(mean, pairs.values()))
        return cls(mean(found), stdev(found) / len(found) ** 0.5 if len(found) > 1 else 0.0)

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.error:.2f}"


def regime_of(case: Judged) -> str:
    """The recipe of the pair."""
    return case.pair.rpartition("-")[0]


def ways_of(cases: Sequence[Judged]) -> list[str]:
    """All ways of choosing, in their order; one that a single case lacks is left out."""
    return [name for name in cases[0].choices if all(name in case.choices for case in cases)]


def regret(cases: Iterable[Judged], way: str) -> Mean:
    """Mean regret of one way of choosing."""
    return Mean.over(cases, lambda case: case.choices[way].regret)


def gain(cases: Iterable[Judged], way: str, first: str) -> Mean:
    """How many points less the way loses than another one; paired, case by case."""
    return Mean.over(cases, lambda case: case.choices[first].regret - case.choices[way].regret)


def regrets_markdown(cases: Sequence[Judged], first: str) -> str:
    """One row a way of choosing, the smallest regret over all regimes first; for each regime `narrow / mixed`.

    Args:
        first: the way that all others are compared with.
    """
    regimes = list(dict.fromkeys(map(regime_of, cases)))
    kinds = ["narrow", "mixed"] if any(case.mixed for case in cases) else ["narrow"]
    header = [
        "chosen by",
        *regimes,
        *(f"all, {kind}" for kind in kinds),
        *(f"against {first}, {kind}" for kind in kinds),
    ]
    rows = {way: _row(cases, way, first, regimes) for way in ways_of(cases)}
    order = sorted(rows, key=lambda way: regret(_only(cases, False), way).value + _mixed(cases, way))
    lines = [markdown_row(header), markdown_row(["---"] + ["---:"] * (len(header) - 1))]
    return "\n".join([*lines, *(markdown_row(rows[way]) for way in order)]) + "\n"


def pairs_markdown(cases: Sequence[Judged]) -> str:
    """One row a pair: mean accuracy of base, best candidate and donor over its narrow tasks."""
    header = ["pair", "base", "best candidate", "donor"]
    lines = [markdown_row(header), markdown_row(["---"] + ["---:"] * (len(header) - 1))]
    narrow = _only(cases, False)
    for pair in dict.fromkeys(case.pair for case in narrow):
        own = [case for case in narrow if case.pair == pair]
        base = mean(next(iter(case.accuracy.values())) for case in own)
        best, donor = mean(max(case.accuracy.values()) for case in own), mean(case.donor for case in own)
        lines.append(markdown_row([pair, *(f"{value:.1f}" for value in (base, best, donor))]))
    return "\n".join(lines) + "\n"


def warnings_markdown(cases: Sequence[Judged], criteria: Sequence[str]) -> str:
    """One row a criterion: how many of its failures came with a warning, and how many good choices did."""
    header = ["chosen by", f"within {CLOSE:g} points", "failures warned of", "false alarms"]
    lines = [markdown_row(header), markdown_row(["---"] + ["---:"] * (len(header) - 1))]
    for name in criteria:
        choices = [case.choices[name] for case in cases]
        failed = [one for one in choices if one.regret > CLOSE]
        good = [one for one in choices if one.regret <= CLOSE]
        warned, alarms = (sum(one.warned for one in those) for those in (failed, good))
        row = [f"{len(good)} of {len(choices)}", f"{warned} of {len(failed)}", f"{alarms} of {len(good)}"]
        lines.append(markdown_row([name, *row]))
    return "\n".join(lines) + "\n"


def contradictions_markdown(cases: Sequence[Judged], criterion: str) -> str:
    """One row a regime: in how many cases a search by this criterion says that base and donor contradict each other,
    and how many of its failures are among those and among the others. Results of earlier versions, which do not say it,
    do not count."""
    header = ["pairs", "told of a contradiction", "failures among these", "failures among the others"]
    lines = [markdown_row(header), markdown_row(["---"] + ["---:"] * (len(header) - 1))]
    for regime in dict.fromkeys(map(regime_of, cases)):
        choices = [case.choices[criterion] for case in _within(cases, regime)]
        choices = [one for one in choices if one.contradicted is not None]
        told = [one for one in choices if one.contradicted]
        others = [one for one in choices if not one.contradicted]
        failed = [f"{sum(one.regret > CLOSE for one in those)} of {len(those)}" for those in (told, others)]
        lines.append(markdown_row([regime, f"{len(told)} of {len(choices)}", *failed]))
    return "\n".join(lines) + "\n"


def methods_markdown(cases: Sequence[Judged]) -> str:
    """One row a pair, and the mean: accuracies of what is chosen among all methods and of linear interpolation alone,
    beside the best candidates as the labels see them; and how often each method is chosen."""
    header = ["pair", "chosen of all", "chosen of linear", "best of linear", "best of all", "methods chosen"]
    lines = [markdown_row(header), markdown_row(["---"] + ["---:"] * (len(header) - 2) + ["---"])]
    pairs = list(dict.fromkeys(case.pair for case in cases))
    for pair in [*pairs, "mean"]:
        own = [case.methods for case in cases if case.methods and pair in (case.pair, "mean")]
        numbers = [
            mean(getattr(one, name) for one in own) for name in ("chosen", "linear_chosen", "linear_best", "best")
        ]
        counts = Counter(one.method for one in own).most_common()
        told = ", ".join(f"{method} {count}" for method, count in counts)
        lines.append(markdown_row([pair, *(f"{number:.1f}" for number in numbers), told]))
    return "\n".join(lines) + "\n"


def _row(cases: Sequence[Judged], way: str, first: str, regimes: Sequence[str]) -> list[str]:
    kinds = [own for own in (_only(cases, False), _only(cases, True)) if own]
    by_regime = [" / ".join(f"{regret(_within(own, one), way).value:.2f}" for own in kinds) for one in regimes]
    totals = [
        str(number) for number in (*(regret(own, way) for own in kinds), *(gain(own, way, first) for own in kinds))
    ]
    return [way, *by_regime, *totals]


def _mixed(cases: Sequence[Judged], way: str) -> float:
    mixed = _only(cases, True)
    return regret(mixed, way).value if mixed else 0.0


def _only(cases: Sequence[Judged], mixed: bool) -> list[Judged]:
    return [case for case in cases if case.mixed == mixed]


def _within(cases: Sequence[Judged], regime: str) -> list[Judged]:
    return [case for case in cases if regime_of(case) == regime]
