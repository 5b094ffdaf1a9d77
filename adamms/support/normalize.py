"""Answers as they are compared: as texts without case, or as what they say, without punctuation and articles."""

import re
import unicodedata
from functools import lru_cache

ARTICLES = frozenset({"a", "an", "the"})
_NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
NUMBERS = {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())}

_POINT, _MINUS = "\ue000", "\ue001"  # stand for `.` and `-` in numbers while punctuation goes
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DECIMAL = re.compile(r"(?<=\d)\.(?=\d)")
_NEGATIVE = re.compile(r"(?<![\w-])-(?=\d)")


class _Punctuation(dict[int, str]):
    """For `str.translate`: apostrophes vanish, punctuation and symbols become spaces; each is looked up once."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kept = " " if unicodedata.category(char)[0] in "PSZ" else char
        self[code] = "" if char in "'’" else kept
        return self[code]


_PUNCTUATION = _Punctuation()


def plain(text: str) -> str:
    """The text without case and surrounding space, as `either` and `sum` compare it."""
    return text.strip().casefold()


@lru_cache(maxsize=16_384)  # neighbours mostly answer alike
def normalize_answer(text: str) -> str:
    """`The cat.`, `cat` and `a Cat!` are one answer, and so are `Two` and `2`, `1,000` and `1000`.

    An answer that would be left empty (`A`, `+`) stays as it is.
    """
    folded = plain(unicodedata.normalize("NFKC", text))
    numeric = _NEGATIVE.sub(_MINUS, _DECIMAL.sub(_POINT, _THOUSANDS.sub("", folded)))
    spaced = numeric.translate(_PUNCTUATION).replace(_POINT, ".").replace(_MINUS, "-")
    words = spaced.split()
    kept = [NUMBERS.get(word, word) for word in words if word not in ARTICLES]
    return " ".join(kept or words) or folded
