"""What a header says about a tensor, which is enough to plan a merge without reading any data."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

# safetensors' dtype names (the format's specification) -> bytes an element
DTYPES: dict[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
MERGEABLE_DTYPES = frozenset({"F16", "BF16", "F32", "F64"})


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a checkpoint: its name, safetensors dtype, shape, and where its bytes are.

    `offset` is the position in bytes within `path`; None where no file holds these bytes as they are (pickled
    checkpoints, tensors that an adapter changes): then only `Checkpoint.read` gives them.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int | None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.elements * DTYPES[self.dtype]
