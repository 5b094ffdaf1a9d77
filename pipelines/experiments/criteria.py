"""Which unlabelled criterion chooses best: regret of each over many pairs and tasks.

    python -m pipelines.experiments.criteria --config conf/criteria.yaml [criteria=[either,sum]] [key=value ...]

The regret of a choice is how many points of accuracy it is behind the best candidate; beside it stands whether warnings
come with the choices that fail. Pairs and answers that `reproduce.py` has left in the same folder are not made again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from adamms.cli import program
from adamms.judging.judgement import accuracy
from adamms.reporting.tables import markdown_row
from adamms.selecting.criteria import get_criterion
from adamms.selecting.selection import Selection, select
from adamms.support.ray_session import ray_session
from pipelines.experiments.cases import Case, answer_cases, make_pair
from pipelines.experiments.settings import ReproduceSettings

FIXED, BEST = "always", "(best by labels that is no end point)"
CLOSE = 2.0
"""Points of accuracy: a choice within so many of the best candidate is a good one."""


@dataclass(frozen=True)
class Choice:
    """What a criterion chose in one case. `warned`: the selection said that it is not to be trusted."""

    seed: int
    regret: float
    warned: bool


@dataclass(frozen=True)
class Regrets:
    """The choices of one criterion over all cases.

    Attributes:
        regret: mean regret, in points.
        worst: the largest regret.
        close: in how many cases the choice was within `CLOSE` of the best.
        against: mean difference of its regret to that of the first criterion, and the standard error of this mean
            over pairs (seeds): tasks of one pair are alike.
        warned, missed: how many failures (not close) came with a warning, and how many without.
        false_alarms: how many good choices came with one.
    """

    cases: int
    regret: float
    worst: float
    close: int
    against: tuple[float, float]
    warned: int
    missed: int
    false_alarms: int


def selection_of(case: Case, criterion: str) -> Selection:
    """What a criterion chooses in one case; it is given the donor's answers if it uses them.

    Raises:
        UserError: there is no such criterion.
    """
    known = get_criterion(criterion)
    parents = [case.donor] if case.donor and known.asks_donor else []
    return select(case.responses, known, prompts=case.questions, parents=parents)


def regrets_of(cases: Sequence[Case], criteria: Sequence[str]) -> dict[str, Regrets]:
    """Every criterion over the same cases, and beside them a fixed alpha, which needs no prompts at all."""
    scores = [{alpha: accuracy(answers, case.labels) for alpha, answers in case.judged.items()} for case in cases]
    pairs = list(zip(cases, scores, strict=True))
    choices = {name: [_choice(selection_of(case, name), case, s) for case, s in pairs] for name in criteria}
    for alpha in sorted(scores[0]):
        choices[f"{FIXED} {alpha:g}"] = [Choice(case.seed, max(s.values()) - s[alpha], False) for case, s in pairs]
    inner = [max(s[alpha] for alpha in sorted(s)[1:-1]) for s in scores]  # what the paper's rule may choose
    choices[BEST] = [
        Choice(case.seed, max(s.values()) - best, False) for (case, s), best in zip(pairs, inner, strict=True)
    ]
    first = next(iter(choices.values()))
    return {name: _regrets(found, first) for name, found in choices.items()}


def regrets_markdown(found: Mapping[str, Regrets]) -> str:
    """A table, the criterion of the least regret first."""
    header = "criterion, mean regret, worst, within 2 points, against the first, failures warned of, false alarms"
    names = header.split(", ")
    lines = [markdown_row(names), markdown_row(["---"] + ["---:"] * (len(names) - 1))]
    for name, one in sorted(found.items(), key=lambda item: item[1].regret):
        difference, error = one.against
        fixed = name.startswith(FIXED) or name == BEST
        lines.append(
            markdown_row(
                [
                    name,
                    f"{one.regret:.2f}",
                    f"{one.worst:.1f}",
                    f"{one.close} of {one.cases}",
                    f"{difference:+.2f} ± {error:.2f}",
                    "-" if fixed else f"{one.warned} of {one.warned + one.missed}",
                    "-" if fixed else f"{one.false_alarms} of {one.close}",
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _choice(selection: Selection, case: Case, scores: Mapping[float, float]) -> Choice:
    """A choice beside the labels; where nothing could be chosen, the base stands in."""
    alpha = min(scores) if selection.chosen is None else selection.chosen
    warned = selection.chosen is None or any("plateau" in warning for warning in selection.warnings)
    return Choice(case.seed, max(scores.values()) - scores[alpha], warned)


def _regrets(choices: Sequence[Choice], first: Sequence[Choice]) -> Regrets:
    by_pair: dict[int, list[float]] = {}
    for one, other in zip(choices, first, strict=True):
        by_pair.setdefault(one.seed, []).append(one.regret - other.regret)
    differences = list(map(mean, by_pair.values()))
    error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
    failed = [one for one in choices if one.regret > CLOSE]
    return Regrets(
        cases=len(choices),
        regret=mean(one.regret for one in choices),
        worst=max(one.regret for one in choices),
        close=len(choices) - len(failed),
        against=(mean(differences), error),
        warned=sum(one.warned for one in failed),
        missed=sum(not one.warned for one in failed),
        false_alarms=sum(one.warned for one in choices if one.regret <= CLOSE),
    )


def run(settings: ReproduceSettings, force: bool) -> None:
    cases: list[Case] = []
    with ray_session(settings.ray.address):
        for seed in settings.seeds:
            cases += answer_cases(settings, make_pair(Path(settings.folder), seed), seed)
    table = regrets_markdown(regrets_of(cases, settings.criteria))
    Path(settings.folder, "criteria.md").write_text(table, encoding="utf-8")
    print(table)


main = program(ReproduceSettings, run, __doc__)

if __name__ == "__main__":
    main()
