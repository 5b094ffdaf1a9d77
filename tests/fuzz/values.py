"""What doors are given: JSON of every kind, texts that are hard to handle, and good files with damage."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import strategies as st
from PIL import Image

TEXT = st.text(max_size=6) | st.sampled_from(
    ["", " ", "\ud800", "a\nb", "a\0b", "../x", "/etc/passwd", "x" * 300, "\u2028", "é", "~nosuch/x", "${a}", "NaN"]
)
NUMBER = st.integers(-3, 70) | st.sampled_from([2**30, 2**31, 2**63, -(2**63), 10**40, 10**4000]) | st.floats()
LEAF = st.none() | st.booleans() | NUMBER | TEXT
JSON = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
NESTED = st.sampled_from(["[" * 5000, '{"a":' * 5000, "[" * 300 + "]" * 300])


def spelled(value: Any) -> bytes:
    """A value as JSON; halves of surrogate pairs as escapes."""
    return json.dumps(value).encode()


@st.composite
def damaged(draw: st.DrawFn, good: st.SearchStrategy[bytes]) -> bytes:
    """Good bytes, of which some are others, missing or repeated."""
    data = bytearray(draw(good))
    for place, change in draw(st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(max_size=3)), max_size=4)):
        at = place % (len(data) + 1)
        data[at : at + draw(st.integers(0, 3))] = change
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


@st.composite
def with_others(draw: st.DrawFn, good: dict[str, Any], values: st.SearchStrategy[Any] = JSON) -> dict[str, Any]:
    """A good object, of which some values are others, or missing, or there are more."""
    found = dict(good)
    for name in draw(st.lists(st.sampled_from(sorted(good)), max_size=2)):
        found[name] = draw(values)
    for name in draw(st.lists(st.sampled_from(sorted(good)), max_size=1)):
        found.pop(name, None)
    return found | draw(st.dictionaries(TEXT, values, max_size=1))


def pictures() -> list[bytes]:
    """One small picture in every format that is read."""
    found = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000"):
        out = io.BytesIO()
        Image.linear_gradient("L").resize((24, 16)).convert("RGB").save(out, kind)
        found.append(out.getvalue())
    return found
