"""Rows of tensors, and matrices that one model stores transposed: what the pieces of a plan are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from adamms.support.tensor import Tensor

Read = Callable[[str, int, int], Tensor]


class Rows(NamedTuple):
    """Rows `start` to `stop` of a tensor, each of `length` elements."""

    tensor: str
    start: int
    stop: int
    length: int


@dataclass(frozen=True, slots=True)
class Turned:
    """The transpose of rows of some tensors, one below the other: what stands for a tensor where one of two models
    stores experts as [in, out], the other as [out, in]."""

    parts: tuple[Rows, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        return tuple(part.tensor for part in self.parts)

    @property
    def elements(self) -> int:
        return sum((part.stop - part.start) * part.length for part in self.parts)

    def read(self, read: Read, start: int, stop: int) -> Tensor:
        """Elements `start` to `stop` of the flattened transpose. Reads all of it: one expert's matrix is small.

        Args:
            read: gives elements of a flattened tensor, by its name.
        """
        import torch

        width = self.elements // self.parts[0].length
        first, last = start // width, -(-stop // width)  # the rows of the transpose are columns of the parts
        columns = [
            read(name, begin * length, end * length).view(-1, length)[:, first:last].clone()  # the buffer is reused
            for name, begin, end, length in self.parts
        ]
        return torch.cat(columns).T.reshape(-1)[start - first * width : stop - first * width]

    def __str__(self) -> str:
        return f"transpose of {' and '.join(self.tensors)}"


def tensors_of(name: str | Turned) -> tuple[str, ...]:
    """The stored tensors that a piece's name stands for."""
    return name.tensors if isinstance(name, Turned) else (name,)


def read_elements(read: Read, name: str | Turned, start: int, stop: int) -> Tensor:
    """Elements `start` to `stop` of what a piece's name stands for."""
    return name.read(read, start, stop) if isinstance(name, Turned) else read(name, start, stop)


def row_length(shape: tuple[int, ...]) -> int:
    """Elements of a row, which runs along the last dimension; those of a vector have one."""
    return shape[-1] if len(shape) > 1 else 1


def rows_of(shape: tuple[int, ...]) -> int:
    """How many rows a tensor of this shape has; a scalar is one."""
    return prod(shape[:-1]) if len(shape) > 1 else (shape[0] if shape else 1)
