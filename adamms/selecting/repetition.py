"""Does an answer end in an endless repetition?"""

from functools import lru_cache

LEAST_LENGTH = 12
"""A shorter answer, in characters, is never endless: `no no no` may be meant."""
LEAST_SHARE = 0.5
"""The repetition has to fill this share of the answer."""
LONG_UNIT = 20
"""A text of this many characters has to come three times, a shorter one four times."""


@lru_cache(maxsize=16_384)  # neighbours mostly answer alike
def is_endless(answer: str) -> bool:
    """Whether the end of the answer repeats one piece of text again and again, the last one perhaps cut off."""
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
