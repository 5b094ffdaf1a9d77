import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

_SPELLINGS = {"half": "float16", "float": "float32"}


@dataclass(frozen=True)
class EngineIdentity:
    """What answered, as resolved on the machine where it runs; nothing in it says `auto`. Part of the identity of every
    stored answer, since another engine may answer differently.

    Attributes:
        kind: a name in `registry.ENGINES`, such as 'vllm'.
        dtype: of the live weights, such as 'bfloat16'.
        device: 'cpu' or 'cuda'.
        versions: package -> version: torch, transformers, and the engine's own; sorted by name.
    """

    kind: str
    dtype: str
    device: str
    versions: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, kind: str, dtype: Any, device: str, *packages: str) -> Self:
        """The identity in this process.

        Args:
            dtype: torch's, or its name.
            packages: the engine's own, besides torch and transformers.
        """
        versions = tuple((name, _version(name)) for name in sorted({"torch", "transformers", *packages}))
        return cls(kind, str(dtype).removeprefix("torch."), device, versions)

    def to_json(self) -> dict[str, Any]:
        """As JSON takes it; `from_json` gives the same identity back."""
        return {**asdict(self), "versions": dict(self.versions)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """An identity from what `to_json` gave."""
        return cls(data["kind"], data["dtype"], data["device"], tuple(sorted(data["versions"].items())))

    def __str__(self) -> str:
        return f"{self.kind} in {self.dtype} on {self.device} ({', '.join(map(' '.join, self.versions))})"


def dtype_name(name: str) -> str:
    """Of a dtype that has several names, the one that torch says."""
    return _SPELLINGS.get(name, name)


def _version(package: str) -> str:
    """As it was installed; the CPU rebuild of vLLM goes by another name, so then as the module says."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return str(importlib.import_module(package).__version__)
