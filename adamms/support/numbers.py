"""Numbers of somebody else's files."""

import math
from typing import Any


def finite(value: Any) -> float | None:
    """A number as a finite float; None for anything else, integers that no float can hold among them."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
