"""What candidates, the coefficient that was searched, and times are called in figures and tables."""

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


def spell_seconds(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
