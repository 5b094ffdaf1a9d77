"""Colours that colour-blind readers and printers tell apart (Okabe and Ito), and what they become in a dark page."""

INK, GRID = "#1b1b1c", "#c9c9ca"
"""Text and axes, and what should hardly be seen."""
BLUE, VERMILION, GREEN, ORANGE = "#0072b2", "#d55e00", "#009e73", "#e69f00"

DARK = {INK: "#e8e8ea", GRID: "#4a4c52", BLUE: "#6cc0f5", VERMILION: "#ff9150", GREEN: "#2fd0a2"}
"""The colours that need another one on a dark page."""

EQUAL = ("#cfe5f5", "#fde3bd", "#c4eadc", "#f3d6e6", "#f7d3bb", "#faf4b5", "#dcdcf4")
"""Light tints, one for each set of equal answers; text on them is dark, always."""
EQUAL_INK = "#111112"


def css_variable(colour: str) -> str:
    """What a colour of `DARK` is called in a page."""
    return f"--c{colour.removeprefix('#')}"
