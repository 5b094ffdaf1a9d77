"""What candidates and the coefficient that was searched are called in figures and tables."""

from adamms.runs.values import format_value


def coefficient_label(coefficient: str, method: str) -> str:
    """For an axis: `alpha (weight of the donor)`, or another coefficient and the merging method it belongs to."""
    about = "weight of the donor" if coefficient == "alpha" else method
    return f"{coefficient} ({about})" if about else coefficient


def candidate_label(coefficient: str, value: float) -> str:
    """For a sentence: `alpha 0.3`."""
    return f"{coefficient} {format_value(value)}"


def value_label(value: float | None) -> str:
    """For a cell: `0.3`, or `-` where nothing was chosen."""
    return "-" if value is None else format_value(value)
