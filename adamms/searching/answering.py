"""Having candidates answer what is not stored yet."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from adamms.engines.lengths import reads_text_only
from adamms.engines.noise import Noise, noise_floor
from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.runs.answers import Answers
from adamms.runs.candidate import CandidateRecord
from adamms.runs.run_folder import RunFolder
from adamms.searching.budget import UNLIMITED, Budget, BudgetOver
from adamms.searching.candidates import CandidateBook
from adamms.searching.events import Asked, Asking, CandidateEnded, Doing, Events, UnitAnswered
from adamms.searching.study import EVEN, ITSELF, Study
from adamms.searching.warm_engines import WarmEngines

LOG = logging.getLogger(__name__)


class Answering:
    """Asks a study's candidates, inside warm engines.

    Args:
        prompts: all that a candidate may be asked.
        answers: where they are stored.
        records: keeps what each candidate cost; None for parents, and for labelled prompts.
        budget: when to stop asking.
    """

    def __init__(
        self,
        study: Study,
        engines: WarmEngines,
        prompts: Sequence[Prompt],
        answers: Answers,
        events: Events | None = None,
        budget: Budget = UNLIMITED,
        records: RunFolder | None = None,
    ) -> None:
        self.answers, self.budget = answers, budget
        self.book = CandidateBook(self.answers, prompts)
        self._study, self._engines = study, engines
        self._asked, self._records = False, records
        self._events = events or Events((), study.run)

    def answer(self, work: Mapping[float, Sequence[Prompt]]) -> bool:
        """Merges the candidates inside the engines and stores their answers as they come.

        Returns:
            Whether all was answered (or failed); False where the budget is over.
        """
        missing = self.book.missing(work)
        self._tell(self.book.complete(work))
        if not missing:
            return True
        if self.budget.over:
            return False
        self._serve()
        pool, self._asked = self._engines.pool, True
        self.answers.made_by(pool.identity())
        missing = self.book.missing(work)
        self._events.say(Asking, missing=sum(map(len, missing.values())))
        candidates = {self._study.coefficient.candidate(value): prompts for value, prompts in missing.items()}
        size, over = self._engines.config.block_size, lambda: self.budget.over is not None
        for result in pool.answer(candidates, size, until=over):
            self.book.add(result)
            self._events.say(UnitAnswered, result=result, coefficient=self._study.coefficient.name)
            self._tell(self.book.complete([result.candidate.value]))
        self._events.say(Asked)
        return not self.book.missing(work)

    def tell_incomplete(self) -> None:
        """At the end: candidates that the search stopped short of."""
        self._tell(self.book.incomplete())

    def noise(self, value: float, prompts: Sequence[Prompt]) -> Noise | None:
        """How many answers of one candidate differ by chance; not measured where no engine was needed."""
        if not self._asked or not prompts:
            return None
        self._events.say(Doing, what=f"asking {len(prompts)} prompts again, to see how many answers differ by chance")
        self._serve()  # another line or a parent may have asked since
        candidate = self._study.coefficient.candidate(value)
        return noise_floor(self._engines.pool, candidate, prompts, self._engines.config.block_size)

    def _serve(self) -> None:
        self._engines.serve(self._study.engine, lambda what: self._events.say(Doing, what=what))

    def _tell(self, candidates: Iterable[CandidateRecord]) -> None:
        for candidate in candidates:
            if self._records is not None:
                self._records.write_candidate(candidate)
                self._events.say(CandidateEnded, record=candidate)


def answer_all(
    study: Study, engines: WarmEngines, values: Sequence[float], prompts: Sequence[Prompt], stored: str
) -> CandidateBook:
    """Every candidate's answers to every prompt; those of another engine are set aside."""
    answering = Answering(study, engines, prompts, study.answers(stored, force=True))
    answering.answer(dict.fromkeys(values, prompts))
    return answering.book


def answer_by_baselines(
    baselines: Mapping[str, Study], engines: WarmEngines, prompts: Sequence[Prompt]
) -> dict[str, dict[str, str]]:
    """The answers of other merge methods to labelled prompts (baselines: method -> `Study.of_method`)."""
    return {
        method: answer_all(study, engines, [EVEN], prompts, f"judged-{method}").answers_at(EVEN)
        for method, study in baselines.items()
    }


def answer_as_donor(
    donor: Study,
    answers: Answers,
    engines: WarmEngines,
    prompts: Sequence[Prompt],
    events: Events | None = None,
    budget: Budget = UNLIMITED,
) -> CandidateBook:
    """The donor's own answers, by an engine of its own architecture.

    Args:
        donor: `Study.of_donor`.
        answers: where they are stored.

    Raises:
        UserError: no engine can run it.
        BudgetOver: before it had answered.
    """
    answering = Answering(donor, engines, prompts, answers, events, budget)
    complete = answering.answer({ITSELF: prompts})
    if answering.book.errors:
        raise UserError(f"donor {donor.pair.base.location}: {answering.book.errors[ITSELF]}")
    if not complete:
        raise BudgetOver(f"{budget.over}: over before the donor had answered; run it again, its answers are kept")
    return answering.book


def answer_by_donor(study: Study, engines: WarmEngines, prompts: Sequence[Prompt], stored: str) -> dict[str, str]:
    """The own answers of the donor that is searched, to judge a study of it; those of another engine are set aside. A
    donor that reads text only is asked without the pictures, which is said."""
    donor = study.of_donor(study.coefficient.donor or 0)
    if any(prompt.images for prompt in prompts) and reads_text_only(donor.engine):
        LOG.warning("donor %s reads text only: it is asked without pictures", donor.pair.base.location)
        prompts = list(map(Prompt.in_words, prompts))
    return answer_as_donor(donor, donor.answers(stored, force=True), engines, prompts).answers_at(ITSELF)
