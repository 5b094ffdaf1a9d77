"""What base and donor hold of the candidates' answers: how probable each parent finds them, in its own architecture.

Only distinct answers are scored, once each. Every parent reads the text with its own tokenizer, so that tokenizers may
differ, and gives the mean log-probability of its tokens. A donor that reads text only judges without the pictures: it
knows what answers of its own kind look like, not which of them fits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

from adamms.engines.engine import EngineSpec
from adamms.engines.lengths import fitting_prompts, reads_text_only
from adamms.errors import UserError, first_line
from adamms.prompts.prompt import Given, Prompt
from adamms.runs.answers import Answers
from adamms.runs.record import Response
from adamms.runs.responses import Responses
from adamms.runs.scored import SCORED, Scores, prompt_of, scored_id, scores_in, scores_of, with_scores
from adamms.searching.answering import Answering
from adamms.searching.budget import UNLIMITED, Budget
from adamms.searching.candidates import CandidateBook
from adamms.searching.events import Doing, Events
from adamms.searching.goal import NoScores
from adamms.searching.study import ITSELF, Study
from adamms.searching.warm_engines import WarmEngines


@dataclass(frozen=True)
class Scoring:
    """Base and donor, each as a study of its own and with a place for its scores.

    Attributes:
        missing: why the donor cannot score, where that is known before an engine starts.
        blind: the parents that are asked without the prompts' pictures, since they read text only.
    """

    parents: dict[str, tuple[Study, Answers]]
    missing: str = ""
    blind: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, study: Study, tasks: dict[str, list[Prompt]], force: bool = False, weights: bool = True
    ) -> tuple[Self, dict[str, list[Prompt]]]:
        """With the prompts that the donor's processor takes too.

        Args:
            weights: as `fitting_prompts` takes it.

        Raises:
            UserError: scores of another engine are stored, and `force` is not set.
        """
        studies = {"base": study.of_base(), **study.of_donors()}
        parents = {name: (one, one.answers(f"{SCORED}/{name}", force)) for name, one in studies.items()}
        for _, answers in parents.values():
            answers.check_owner([ITSELF], [])
        how, fitting, blind = study.settings.prompts.on_error, tasks, set()
        pictures = any(prompt.images for asked in tasks.values() for prompt in asked)
        for name, one in list(studies.items())[1:]:
            who = f"donor {one.pair.base.location}: "
            try:
                if pictures and reads_text_only(one.engine, weights):
                    blind.add(name)
                fitting = {
                    task: _fitting(asked, one.engine, how, who, name in blind, weights)
                    for task, asked in fitting.items()
                }
            except UserError as error:
                return cls(parents, _cannot(name, first_line(error))), tasks
        return cls(parents, blind=frozenset(blind)), fitting

    def by(
        self, engines: WarmEngines, prompts: Sequence[Prompt], events: Events, budget: Budget = UNLIMITED
    ) -> ParentScores:
        """What scores inside these engines, which are shared with the candidates; with what the budget keeps for
        choosing, too."""
        return ParentScores(self.parents, engines, prompts, events, budget.whole(), self.missing, self.blind)


class ParentScores:
    """Lets base and donor score answers that are not scored yet; the base first, in the warm engines.

    Args:
        parents: "base", "donor" -> the parent as a study of its own, and where its scores are stored.
        prompts: all that the candidates were asked.
        budget: when to stop scoring; then there are no scores.
        missing: why the donor cannot score, where that is known already.
        blind: as `Scoring` has it.

    Attributes:
        before_donor: done once, while the base's engines are still up.
        donor_asked: whether they have made room for a donor's.
    """

    def __init__(
        self,
        parents: Mapping[str, tuple[Study, Answers]],
        engines: WarmEngines,
        prompts: Sequence[Prompt],
        events: Events,
        budget: Budget = UNLIMITED,
        missing: str = "",
        blind: Collection[str] = (),
    ) -> None:
        self._parents, self._engines, self._events, self._missing = parents, engines, events, missing
        self._blind, self._budget = blind, budget
        self.before_donor: Callable[[], object] = lambda: None
        self.donor_asked = False
        self._prompts = {prompt.id: prompt for prompt in prompts}
        self.books: list[CandidateBook] = []

    def __call__(self, responses: Responses) -> Responses:
        """The same answers with `Response.by_parents`; for those that are scored already no engine is needed.

        Raises:
            NoScores: some are not, and no engine can run the donor, or the budget is over.
        """
        given = list(self._given([responses]))
        return with_scores(responses, [self._scores(parent, given) for parent in self._parents])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the scores, in words."""
        return tuple(
            f"the {parent} reads text only: it judged the answers by the questions without their pictures"
            for parent in self._blind
        )

    def score(self, several: Sequence[Responses]) -> None:
        """Has answers scored that are asked for one by one afterwards: of several lines, in one turn of each parent's
        engines. Where no engine can run the donor, whoever asks is told."""
        given = list(self._given(several))
        if not given:
            return
        with suppress(NoScores):
            for parent in self._parents:
                self._scores(parent, given)

    def _given(self, several: Sequence[Responses]) -> Iterator[Prompt]:
        """Every distinct answer to every prompt, as a prompt that brings it along."""
        every = (one for responses in several for answered in responses.values() for one in answered.items())
        answers = {(name, str(answer), answer.ended) for name, answer in every if isinstance(answer, Response)}
        for number, (name, text, ended) in enumerate(sorted(answers)):
            yield replace(self._prompts[name], id=scored_id(name, number), given=Given(text, ended))

    def _scores(self, parent: str, given: Sequence[Prompt]) -> Scores:
        study, answers = self._parents[parent]
        given = list(map(Prompt.in_words, given)) if parent in self._blind else given
        answering = Answering(study, self._engines, given, answers, self._events, self._budget)
        work = {ITSELF: given}
        if missing := answering.book.missing(work).get(ITSELF):
            if self._missing:
                raise NoScores(self._missing)
            if self._budget.over:
                raise self._out_of_budget(parent)
            if parent != "base":
                self._start_donor(parent, study)
            self._events.say(Doing, what=f"the {parent} scores {len(missing)} answers")
        complete = answering.answer(work)
        if answering.book.errors:
            raise self._give_up(parent, answering.book.errors[ITSELF])
        if not complete:
            raise self._out_of_budget(parent)
        _give_each_its_row(answers, given)
        self.books.append(answering.book)
        scores = scores_of(answering.book.answers_at(ITSELF, given).items())
        if len(scores) < len(given):
            raise self._give_up(parent, "its engine gives no log-probabilities")
        return scores

    def _start_donor(self, parent: str, donor: Study) -> None:
        """The base's engines make room for it.

        Raises:
            NoScores: no engine can run it.
        """
        self.before_donor()
        self.before_donor = lambda: None
        self.donor_asked = True
        self._engines.serve(donor.engine, lambda what: self._events.say(Doing, what=f"{what} (of the {parent})"))
        try:
            self._engines.pool.identity()
        except (UserError, RuntimeError) as error:
            raise self._give_up(parent, first_line(error)) from None

    def _out_of_budget(self, parent: str) -> NoScores:
        self._missing = f"{self._budget.over} was over before the {parent} had scored all answers"
        return NoScores(self._missing)

    def _give_up(self, parent: str, reason: str) -> NoScores:
        self._missing = _cannot(parent, reason)
        return NoScores(self._missing)


def _give_each_its_row(answers: Answers, given: Sequence[Prompt]) -> None:
    """Scores that prompts share, since they ask the same, are stored for those that came later, too: whoever reads the
    folder knows prompts by their ids only."""
    stored = ((prompt, answers.get(ITSELF, prompt)) for prompt in given)
    shared = [(p, record) for p, record in stored if record and prompt_of(record.prompt_id) != prompt_of(p.id)]
    there = scores_in(answers.folder) if shared else {}
    for prompt, record in shared:
        answer = Response.of(record)
        if (prompt_of(prompt.id), str(answer), answer.ended) not in there:
            answers.take_over(ITSELF, prompt, record)


def _fitting(asked: Sequence[Prompt], spec: EngineSpec, how: str, who: str, blind: bool, weights: bool) -> list[Prompt]:
    """The prompts that a parent's processor takes."""
    kept = fitting_prompts(list(map(Prompt.in_words, asked)) if blind else asked, spec, how, who, weights)
    ids = {prompt.id for prompt in kept}
    return [prompt for prompt in asked if prompt.id in ids]


def _cannot(parent: str, reason: str) -> str:
    return f"the {parent} cannot score answers ({reason})"
