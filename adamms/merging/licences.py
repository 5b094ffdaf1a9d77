"""The licence of a merge: never looser than that of any of its models and adapters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

PERMISSIVE = (
    "cc0-1.0", "unlicense", "wtfpl", "0bsd", "bsl-1.0", "zlib", "isc", "mit", "bsd-2-clause", "bsd-3-clause",
    "cc-by-4.0", "apache-2.0",
)  # fmt: skip
"""From the least to the most conditions; whoever keeps the later one's keeps those of the earlier."""
ADDS_TO_PERMISSIVE = (
    "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "cc-by-nc-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0",
)  # fmt: skip
"""Stricter than any of those, and may be put on works that hold parts under them. Not `gpl-2.0`, which Apache's is
incompatible with; nor a licence of one vendor (`llama3`, `gemma`, `other`), which only a lawyer can compare."""
OTHER, UNKNOWN = "other", "unknown"


@dataclass(frozen=True)
class Licence:
    """As a model card says it: the Hub's word, and for `other` its name and where it stands."""

    kind: str = UNKNOWN
    name: str = ""
    link: str = ""

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self:
        """From a card's metadata; a card without a licence, or with several, is `unknown`."""
        words = [metadata.get(key) for key in ("license", "license_name", "license_link")]
        kind, name, link = (word.strip() if isinstance(word, str) else "" for word in words)
        return cls(kind.lower() or UNKNOWN, name, link)

    @property
    def title(self) -> str:
        """`apache-2.0`, or the name of another one."""
        return self.name or self.kind

    def metadata(self) -> dict[str, str]:
        """For a card; nothing where it is unknown."""
        found = {"license": self.kind, "license_name": self.name, "license_link": self.link}
        return {key: value for key, value in found.items() if value} if self.kind != UNKNOWN else {}


def combined(*models: Licence) -> Licence:
    """The one that a merge of models is under: the same, the strictest one of those that go together, or `other` with
    all named. Unknown where nothing is known of any."""
    different: dict[object, Licence] = {}
    for one in models:
        different.setdefault(one if one.kind == OTHER else (one.kind, one.title), one)
    found = list(different.values())
    strict = [one for one in found if one.kind not in PERMISSIVE]
    if len(found) == 1:
        return found[0]
    if not strict:
        return max(found, key=lambda one: PERMISSIVE.index(one.kind))
    if len(strict) == 1 and strict[0].kind in ADDS_TO_PERMISSIVE:
        return strict[0]
    name = " and ".join(dict.fromkeys(one.title for one in found))
    return Licence(OTHER, name, next((one.link for one in found if one.link), ""))
