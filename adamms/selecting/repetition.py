"""Does an answer end in a loop?"""

from __future__ import annotations

LEAST_LENGTH = 12
"""Loops shorter than this many characters are style (`no no no`)."""
LEAST_SHARE = 0.5
"""The loop must fill this share of the answer."""
LONG_UNIT = 20
"""A unit of this many characters is a loop when it comes three times; a shorter one when it comes four times."""


def is_endless(answer: str) -> bool:
    """Whether the tail of the answer repeats one unit of text again and again, the last one perhaps cut off."""
    text = " ".join(answer.casefold().split())
    if len(text) < LEAST_LENGTH:
        return False
    needed = max(LEAST_LENGTH, LEAST_SHARE * len(text))
    for unit, matched in enumerate(_self_overlaps(text[::-1])):
        looped = unit + matched  # the length of the longest tail that has this period
        times = 3 if unit >= LONG_UNIT else 4
        if unit and looped >= needed and looped + 1 >= unit * times:  # the last space is missing
            return True
    return False


def _self_overlaps(text: str) -> list[int]:
    """Z-function: for every start, how many characters from there equal the text's beginning. Linear time."""
    overlaps = [0] * len(text)
    left = right = 0  # the overlap found so far that reaches furthest
    for start in range(1, len(text)):
        length = min(right - start, overlaps[start - left]) if start < right else 0
        while start + length < len(text) and text[length] == text[start + length]:
            length += 1
        overlaps[start] = length
        if start + length > right:
            left, right = start, start + length
    return overlaps
