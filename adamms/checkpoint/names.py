"""One model's tensors under the names of different releases of transformers, which wrap its parts differently."""

from collections.abc import Iterable

WRAPPERS = frozenset({"model", "language_model", "vision_model"})


class Names:
    """Finds, among a model's tensors, those that another release calls differently."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)
        self._bare: dict[str, list[str]] = {}
        for name in self._names:
            self._bare.setdefault(_bare(name), []).append(name)

    def find(self, name: str) -> str | None:
        """The tensor of this name, or else the only one whose name is the same without wrappers, as
        `model.language_model.layers.0` is `language_model.model.layers.0`; None if there is none."""
        if name in self._names:
            return name
        found = self._bare.get(_bare(name), [])
        return found[0] if len(found) == 1 else None


def _bare(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)
