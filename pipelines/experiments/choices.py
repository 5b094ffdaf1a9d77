"""What every way of choosing chooses in one case, and how far that is behind the best candidate."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from adamms.judging.judgement import accuracy
from adamms.selecting.criteria import get_criterion
from adamms.selecting.divergence import Endpoints
from adamms.selecting.labels import Marks, accuracies
from adamms.selecting.methods import select_method
from adamms.selecting.selection import Selection, select
from pipelines.experiments.cases import Case
from pipelines.experiments.settings import CriteriaSettings

ALWAYS, INNER = "always", "(best by labels that is no end point)"


@dataclass(frozen=True)
class Choice:
    """One choice in one case.

    Attributes:
        regret: how many points of accuracy it is behind the best candidate.
        warned: the selection said that there is no plateau, or only the base's.
        contradicted: the selection said that base and donor contradict each other; None where that is not known.
    """

    regret: float
    warned: bool = False
    contradicted: bool | None = None


@dataclass(frozen=True)
class Among:
    """Accuracies, in points: of the candidate that the last criterion chooses among all methods, of the one that it
    chooses of linear interpolation, and of the best candidates as the labels see them."""

    chosen: float
    linear_chosen: float
    best: float
    linear_best: float
    method: str


@dataclass(frozen=True)
class Judged:
    """One case, with what was chosen in it.

    Attributes:
        mixed: its prompts are of several tasks.
        accuracy: of every candidate, in points; keys as in `selection.json`.
        donor: the donor's own accuracy.
        choices: way of choosing -> what it came to.
        methods: what choosing among several merge methods came to; None where only one was tried.
    """

    pair: str
    task: str
    mixed: bool
    accuracy: Mapping[str, float]
    donor: float
    choices: Mapping[str, Choice]
    methods: Among | None = None


def judge_case(case: Case, settings: CriteriaSettings, mixed: bool) -> Judged:
    """Has every criterion choose, with no labels and with a few, and beside them what needs no prompts at all."""
    scores = {alpha: accuracy(answers, case.labels) for alpha, answers in sorted(case.judged.items())}
    best = max(scores.values())
    found = {name: _choice(selection_of(case, name), scores) for name in settings.criteria}
    for count in settings.few if case.spare else ():
        found |= dict(_by_labels(case, scores, settings, count))
    found |= {f"{ALWAYS} {alpha:g}": Choice(best - score) for alpha, score in scores.items()}
    found[INNER] = Choice(best - max(list(scores.values())[1:-1]))  # what the paper's rule may choose
    told = {f"{alpha:g}": score for alpha, score in scores.items()}
    among = choose_among(case, settings.criteria[-1]) if case.others else None
    return Judged(case.pair, case.task, mixed, told, accuracy(case.judged_donor, case.labels), found, among)


def choose_among(case: Case, criterion: str) -> Among:
    """What a criterion that can compare methods chooses among the winners of all of them, as a search does
    (`searching.methods`)."""
    every = {"linear": (case.responses, case.judged), **case.others}
    scores = {m: {a: accuracy(one, case.labels) for a, one in judged.items()} for m, (_, judged) in every.items()}
    lines = {m: selection_of(replace(case, responses=own), criterion) for m, (own, _) in every.items()}
    found = select_method(
        lines,
        lambda method, value: every[method][0][value],
        lambda answers, marks, known: selection_of(
            replace(case, responses=answers), criterion, marks, endpoints="one_sided", contradicted=known
        ),
    )
    return Among(
        chosen=scores[found.method][found.chosen],
        linear_chosen=scores["linear"][_chosen(lines["linear"], scores["linear"])],
        best=max(max(one.values()) for one in scores.values()),
        linear_best=max(scores["linear"].values()),
        method=found.method,
    )


def selection_of(
    case: Case,
    criterion: str,
    marks: Marks | None = None,
    bootstrap: int = 0,
    endpoints: Endpoints = "auto",
    contradicted: int = 0,
) -> Selection:
    """What a criterion chooses in one case; it is given the donor's answers if it uses them.

    Args:
        marks, bootstrap, endpoints, contradicted: as `select` takes them.

    Raises:
        UserError: there is no such criterion.
    """
    known = get_criterion(criterion)
    parents = [case.donor] if case.donor and known.asks_donor else []
    asked = case.questions
    return select(
        case.responses,
        known,
        endpoints,
        bootstrap=bootstrap,
        prompts=asked,
        parents=parents,
        marks=marks,
        contradicted=contradicted,
    )


def _by_labels(
    case: Case, scores: Mapping[float, float], settings: CriteriaSettings, count: int
) -> Iterator[tuple[str, Choice]]:
    """What a few labels choose alone, and what each criterion makes of them; on average over several draws."""
    drawn = list(_draw_marks(case, count, settings.draws))
    alone = [_choice_of(_most_right(marks), scores) for marks in drawn]
    yield f"{count} labels alone", _mean(alone)
    for name in settings.criteria:
        yield f"{count} labels, then {name}", _mean([_choice(selection_of(case, name, m), scores) for m in drawn])


def _draw_marks(case: Case, count: int, draws: int) -> Iterator[Marks]:
    """Which of a few drawn labelled prompts every candidate answers right."""
    for draw in range(draws):
        ids = random.Random(f"{case.pair}/{case.task}/{draw}").sample(sorted(case.spare), count)
        yield {alpha: [case.spare[i].accepts(answers[i]) for i in ids] for alpha, answers in case.answered.items()}


def _most_right(marks: Marks) -> float:
    """Of several equally good candidates the lowest, which is nearest to the base."""
    shares = accuracies(marks)
    return min(shares, key=lambda alpha: (-shares[alpha], alpha))


def _choice(selection: Selection, scores: Mapping[float, float]) -> Choice:
    """A choice beside the labels."""
    warned = selection.chosen is None or any("plateau" in warning for warning in selection.warnings)
    regret = _choice_of(_chosen(selection, scores), scores).regret
    return Choice(regret, warned, selection.parents_contradict)


def _chosen(selection: Selection, scores: Mapping[float, float]) -> float:
    """Where nothing could be chosen, the base stands in."""
    return min(scores) if selection.chosen is None else selection.chosen


def _choice_of(alpha: float, scores: Mapping[float, float]) -> Choice:
    return Choice(max(scores.values()) - scores[alpha])


def _mean(choices: Sequence[Choice]) -> Choice:
    regret, warned = mean(one.regret for one in choices), any(one.warned for one in choices)
    return Choice(regret, warned, any(one.contradicted for one in choices))
