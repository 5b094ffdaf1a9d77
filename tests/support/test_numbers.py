from __future__ import annotations

import math

import numpy as np
import pytest

from adamms.support.numbers import finite


@pytest.mark.parametrize("value", [3, -2.5, 0, 10**300, np.float64(0.5)])
def test_numbers_that_a_float_holds(value: float) -> None:
    assert finite(value) == float(value)


@pytest.mark.parametrize("value", [10**400, math.inf, -math.inf, math.nan, True, None, "3", [3]])
def test_what_is_none(value: object) -> None:
    assert finite(value) is None
