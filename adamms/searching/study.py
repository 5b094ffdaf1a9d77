"""A study: everything that stays the same while candidates come and go; built once for whatever asks for answers."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from adamms.checkpoint import Checkpoint
from adamms.engines.asking import asking_digest
from adamms.engines.engine import EngineSpec
from adamms.engines.loadable import LoadableFolder
from adamms.mapping import PlannedPair, plan_pair
from adamms.mapping.pair import plan_alone
from adamms.merging.ancestor import with_ancestor
from adamms.merging.recipe import Recipe
from adamms.runs.answers import Answers
from adamms.runs.run_folder import RunFolder
from adamms.searching.coefficient import SearchedCoefficient
from adamms.searching.config import StudySettings

ITSELF = 0.0
"""The value that a parent's own answers are stored under: nothing is merged into it."""
EVEN = 0.5
"""The donor's weight in baselines that take one: both parents alike, as their authors do."""


@dataclass(frozen=True)
class Study:
    """A pair with its plan, the coefficient that varies, the engine that answers, and the folder of it all."""

    settings: StudySettings
    pair: PlannedPair
    coefficient: SearchedCoefficient
    engine: EngineSpec
    run: RunFolder

    @classmethod
    def of(cls, settings: StudySettings, weights: bool = True) -> Self:
        """Reads the models' headers, plans, and checks that they belong together.

        Args:
            weights: False where nothing will be merged, so that of remote models only headers are fetched.

        Raises:
            UserError: a model cannot be had, the two cannot be merged, or the method has no such coefficient.
        """
        return cls._planned(settings, SearchedCoefficient.of(settings.merging, settings.searching), weights)

    def of_method(self, method: str) -> Self:
        """The same models merged by another method with its own defaults, all parents weighing the same.

        Raises:
            UserError: an unknown method, or one that needs the ancestor where none is given.
        """
        count = len(self.pair.donors)
        even = (1 / (count + 1),) * count if count > 1 else EVEN
        return self._planned(self.settings, SearchedCoefficient("alpha", Recipe(method, even)))

    def of_donor(self, number: int = 0) -> Self:
        """One of the donors in its own architecture, nothing merged: for asking it the same prompts."""
        return self._alone(self.pair.donors[number], self.settings.mapping_of(number).donor_architecture)

    def of_donors(self) -> dict[str, Self]:
        """Every donor so, by what it is called in a run folder: `donor`, or `donor-1`, `donor-2`, ... of several."""
        names = [title.replace(" ", "-") for title, _ in self.pair.titled[1:]]
        return {names[i]: self.of_donor(i) for i in range(len(self.pair.donors))}

    def of_base(self) -> Self:
        """The base, nothing merged; it is served by the engines of the pair."""
        return self._alone(self.pair.base, self.settings.mapping.base_architecture)

    def answers(self, name: str = "responses", force: bool = False) -> Answers:
        """The stored answers in a folder of the run folder; `force` sets those of another study aside."""
        engine = self.settings.engine
        return Answers(self.run.folder / name, self.asked(), {"kind": engine.kind, "dtype": engine.dtype}, force)

    def asked(self) -> dict[str, Any]:
        """Everything that an answer depends on but the candidate's value, the prompt and the engine."""
        plan, engine = self.pair.plan, self.settings.engine
        digests = [donor.digest for donor in plan.donors]
        loadable = LoadableFolder(self.pair.base, self.engine, weights=False)
        return {
            "base": plan.base.digest,
            **({"donor": digests[0]} if len(digests) == 1 else {"donors": digests}),
            "ancestor": plan.ancestor.digest if plan.ancestor else None,
            "mapping": plan.fingerprint,
            **{f"merging.{name}": value for name, value in self.coefficient.fixed().items()},
            "chat template, tokenizer or processor": asking_digest(loadable.path),
            "engine.max_tokens": engine.max_tokens,
            "engine.stop": list(engine.stop),
        }

    def _alone(self, model: Checkpoint, architecture: str | None) -> Self:
        plan = plan_alone(model)
        engine = EngineSpec(plan, self.settings.engine, architecture)
        pair = PlannedPair(plan, model, (model,), None)
        return replace(self, pair=pair, coefficient=SearchedCoefficient("alpha", Recipe()), engine=engine)

    @classmethod
    def _planned(cls, settings: StudySettings, coefficient: SearchedCoefficient, weights: bool = True) -> Self:
        coefficient.recipe.check_donors(len(settings.all_donors))
        pair = plan_pair(with_ancestor(settings, coefficient.recipe), weights=weights)
        engine = EngineSpec(pair.plan, settings.engine, settings.mapping.base_architecture)
        return cls(settings, pair, coefficient, engine, RunFolder(Path(settings.run_dir)))
