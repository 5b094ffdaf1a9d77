"""Levenshtein distance, one machine operation for a whole column of the table."""

from __future__ import annotations


def edit_distance(left: str, right: str) -> int:
    """How many characters must be inserted, deleted or replaced to turn one text into the other.

    Hyyrö's bit-vector form of Myers' algorithm: bit i of the integers below says how the table's row i + 1 differs from
    row i in the current column (one up, one down), so that a column costs a few operations on long integers.
    """
    if not left or not right:
        return len(left) + len(right)
    rows = len(left)
    everything, last = (1 << rows) - 1, 1 << (rows - 1)
    places: dict[str, int] = {}
    for row, char in enumerate(left):
        places[char] = places.get(char, 0) | 1 << row
    up, down, distance = everything, 0, rows
    for char in right:
        same = places.get(char, 0)
        vertical = same | down
        diagonal = (((same & up) + up) ^ up) | same
        rising = down | ~(diagonal | up)
        falling = up & diagonal
        distance += bool(rising & last) - bool(falling & last)
        rising, falling = rising << 1 | 1, falling << 1
        up = (falling | ~(vertical | rising)) & everything
        down = rising & vertical & everything
    return distance


def edit_difference(left: str, right: str) -> float:
    """Edit distance as a share of the longer text: 0 for equal texts, 1 when nothing is kept."""
    return edit_distance(left, right) / max(len(left), len(right), 1) if left != right else 0.0
