"""Weights of several donors proposed by a Gaussian process (optuna's), from the scores of those that were asked."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from math import fsum
from typing import Any

from adamms.errors import UserError
from adamms.searching.walk import Weights

STARTUP = 2
"""Times the number of donors: sets of weights that are spread out before the process has something to go by."""


class Surrogate:
    """Gives weights to ask and takes their scores; the same scores lead the same way.

    Args:
        values: what a weight may be, 0 first, ascending; those that lines have, so that these go through what is
            proposed.

    Raises:
        UserError: optuna is not installed.
    """

    def __init__(self, donors: int, values: Sequence[float], seed: int) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise UserError(
                "searching.trials: weights are proposed by optuna, which is not installed; "
                "`pip install 'adamms[surrogate]'`, or set it to 0"
            )
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._values, self._donors = tuple(values), donors
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP * donors + 1)
        self._study: Any = optuna.create_study(sampler=sampler)
        for start in self._starts():
            self._study.enqueue_trial({_name(i): weight for i, weight in enumerate(start)})

    def ask(self) -> tuple[Any, Weights]:
        """The next trial, and its weights: what was proposed, made smaller where it is more than 1 together."""
        import optuna

        low, high = self._values[0], self._values[-1]
        one = optuna.distributions.FloatDistribution(low, high)
        trial = self._study.ask({_name(i): one for i in range(self._donors)})
        return trial, self._nearest([trial.params[_name(i)] for i in range(self._donors)])

    def tell(self, trial: Any, score: float) -> None:
        """What a trial came to; the less, the better."""
        self._study.tell(trial, score)

    def _starts(self) -> list[Weights]:
        """The base, and every donor alone with a middling weight."""
        middle = self._values[len(self._values) // 2]
        alone = [tuple(middle if i == donor else 0.0 for i in range(self._donors)) for donor in range(self._donors)]
        return [(0.0,) * self._donors, *alone]

    def _nearest(self, proposed: Sequence[float]) -> Weights:
        """Values, and at most 1 together."""
        share = min(1.0, 1 / max(fsum(proposed), 1e-9))
        found = [min(self._values, key=lambda value: abs(value - share * weight)) for weight in proposed]
        while fsum(found) > 1 + 1e-9:
            largest = max(found)
            found[found.index(largest)] = self._values[self._values.index(largest) - 1]
        return tuple(found)


def _name(donor: int) -> str:
    return f"weight {donor + 1}"
