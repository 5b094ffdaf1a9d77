"""Answers to labelled prompts, for judging; kept apart from those that a search chooses by."""

from collections.abc import Sequence

from adamms.prompts.prompt import Prompt
from adamms.searching.answering import answer_all, answer_as_donor
from adamms.searching.study import EVEN, ITSELF, Study
from adamms.searching.warm_engines import WarmEngines


def answer_by_donor(
    study: Study, engines: WarmEngines, prompts: Sequence[Prompt], stored: str = "judged-donor"
) -> dict[str, str]:
    """The donor's own answers, in its own architecture."""
    donor = study.of_donor()
    return answer_as_donor(donor, engines, prompts, donor.answers(stored)).answers_at(ITSELF)


def answer_by_baselines(
    baselines: dict[str, Study], engines: WarmEngines, prompts: Sequence[Prompt]
) -> dict[str, dict[str, str]]:
    """The answers of other merge methods, through the same mapping and engine.

    Args:
        baselines: method -> `Study.of_method`.
    """
    return {
        method: answer_all(study, engines, [EVEN], prompts, f"judged-{method}").answers_at(EVEN)
        for method, study in baselines.items()
    }
