"""Values of the coefficient that is searched, as they are compared and written."""

VALUE_DIGITS = 6


def normalize_value(value: float) -> float:
    """Rounded to 6 digits, so that 0.1 + 0.2 and 0.3 are one candidate; -0.0 becomes 0.0."""
    return round(float(value), VALUE_DIGITS) + 0.0


def format_value(value: float) -> str:
    """`0.3` for 0.3, `0.0` for 0, `0.05` for 0.05: how values are written in file names, JSON keys and messages."""
    digits = f"{normalize_value(value):.{VALUE_DIGITS}f}".rstrip("0")
    return digits + "0" if digits.endswith(".") else digits
