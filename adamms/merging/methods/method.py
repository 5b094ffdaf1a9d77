"""A merge method: coefficients with ranges, statistics where it needs some, and one pure function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from adamms.merging.methods.coefficient import share
from adamms.support.tensor import Tensor

Scope = Literal["tensor", "model"]
Statistic = tuple[float, ...]  # what a method knows of a tensor, or of the whole model, before it merges


@dataclass(frozen=True, slots=True, eq=False)
class Operands:
    """The same elements of both models (and of their ancestor) in their stored dtypes, 1-D.

    Attributes:
        name: the base tensor.
        start: index of the first element in the flattened base tensor; with `name` it seeds what is random.
        row: elements in one row of the tensor.
    """

    name: str
    start: int
    row: int
    stored_base: Tensor
    stored_donor: Tensor
    stored_ancestor: Tensor | None = None

    @property
    def base(self) -> Tensor:
        """The base's elements as a float32 copy, which may be overwritten; `donor` and `ancestor` likewise."""
        return _float32(self.stored_base)

    @property
    def donor(self) -> Tensor:
        return _float32(self.stored_donor)

    @property
    def ancestor(self) -> Tensor:
        assert self.stored_ancestor is not None, "a method that reads the ancestor has to say so (needs_ancestor)"
        return _float32(self.stored_ancestor)

    def cut(self, step: int) -> Iterator[Operands]:
        """These operands in chunks of `step` elements."""
        ancestor = self.stored_ancestor
        for first in range(0, len(self.stored_base), step):
            part = slice(first, first + step)
            yield Operands(
                self.name,
                self.start + first,
                self.row,
                self.stored_base[part],
                self.stored_donor[part],
                None if ancestor is None else ancestor[part],
            )

    def task_vectors(self) -> tuple[Tensor, Tensor]:
        """What fine-tuning added, base - ancestor and donor - ancestor, as float32 copies that may be overwritten."""
        ancestor = self.ancestor
        return self.base.sub_(ancestor), self.donor.sub_(ancestor)


@dataclass(frozen=True)
class Method:
    """One way to merge; a subclass adds its coefficients as fields, implements `merge` and is decorated by `register`.

    A method that needs statistics of whole tensors, or of the whole model, reads all weights in one or more `rounds`.
    In each round, `measure` is called for every chunk and its results are added up; from the sums of all rounds
    `conclude` computes the few numbers that `merge` gets. Sums are int64 or float64 and added in a fixed order, so they
    do not depend on how the work was split.

    Attributes:
        needs_ancestor: it works on task vectors (fine-tuned minus ancestor).
        uses_alpha: False if the method computes the donor's weight from the weights themselves.
        whole_rows: a chunk always holds whole rows of the tensor (a 1-D tensor is one row).
        rounds: how many times all weights are read before the merge itself.
    """

    alpha: float = share(0.0, "the donor's weight; the base's is 1 - alpha")

    needs_ancestor: ClassVar[bool] = False
    uses_alpha: ClassVar[bool] = True
    whole_rows: ClassVar[bool] = False
    rounds: ClassVar[int] = 0

    @property
    def scope(self) -> Scope:
        """Whether sums are over the rows of one tensor that come from one donor tensor, or over the whole model."""
        return "tensor"

    def measure(self, x: Operands, sums: Sequence[Tensor]) -> Tensor:
        """What a chunk adds to this round's sum: a tensor of the same shape for all chunks.

        Args:
            sums: of the rounds before.
        """
        raise NotImplementedError

    def conclude(self, sums: Sequence[Tensor]) -> Statistic:
        """The numbers that `merge` gets, from the sums of all rounds."""
        return ()

    def merge(self, x: Operands, statistic: Statistic) -> Tensor:
        """The merged elements of a chunk, float32 (or stored elements unchanged); does not change the operands.

        Args:
            statistic: what `conclude` returned for the chunk's tensor, or for the model; () without rounds.
        """
        raise NotImplementedError


def _float32(stored: Tensor) -> Tensor:
    import torch

    return stored.to(torch.float32, copy=True)
