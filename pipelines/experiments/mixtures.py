"""Cases that mix questions of several tasks, as benchmarks do."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from math import ceil

from adamms.runs.responses import Responses
from pipelines.experiments.cases import Case, Told

FEWEST_TASKS = 4


def mixtures_of(cases: Sequence[Case], count: int) -> Iterator[Case]:
    """Draws cases that mix four or more tasks of one pair (all, where it has no more).

    A mixture has as many unlabelled prompts as a task has, of every task equally many, and all labelled ones.

    Args:
        cases: the tasks of one pair, answered.
    """
    rng = random.Random(f"mixtures/{cases[0].pair}")
    for number in range(count):
        parts = rng.sample(list(cases), rng.randint(min(FEWEST_TASKS, len(cases)), len(cases)))
        yield _mixture(parts, f"mixture-{number:02}", rng)


def _mixture(parts: Sequence[Case], name: str, rng: random.Random) -> Case:
    prompts = min(len(part.questions) for part in parts)
    ids = [rng.sample(sorted(part.questions), ceil(prompts / len(parts))) for part in parts]
    drawn = set(rng.sample(sorted(chain.from_iterable(ids)), prompts))
    return Case(
        pair=parts[0].pair,
        task=name,
        questions={prompt: text for prompt, text in _united(p.questions for p in parts).items() if prompt in drawn},
        responses=_answers([part.responses for part in parts], drawn),
        donor={prompt: answer for prompt, answer in _united(p.donor for p in parts).items() if prompt in drawn},
        labels=_united(part.labels for part in parts),
        judged=_answers([part.judged for part in parts]),
        judged_donor=_united(part.judged_donor for part in parts),
        spare=_united(part.spare for part in parts),
        answered=_answers([part.answered for part in parts]),
        others={
            name: (
                _answers([part.others[name][0] for part in parts], drawn),
                _answers([part.others[name][1] for part in parts]),
            )
            for name in parts[0].others
        },
    )


def _answers(parts: Sequence[Responses], drawn: set[str] | None = None) -> Responses:
    """Every candidate's answers to the prompts of all parts, or to those that are drawn."""
    return {
        value: {
            prompt: answer
            for prompt, answer in _united(part[value] for part in parts).items()
            if drawn is None or prompt in drawn
        }
        for value in parts[0]
    }


def _united(parts: Iterable[Mapping[str, Told]]) -> dict[str, Told]:
    """Ids name their task, so none stands for two prompts."""
    return dict(chain.from_iterable(part.items() for part in parts))
