"""A merge method: coefficients with ranges, statistics where it needs some, and one pure function."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from adamms.merging.methods.coefficient import alpha
from adamms.support.tensor import Tensor

DONOR = "donor"
Scope = Literal["tensor", "model"]
Statistic = tuple[float, ...]  # what a method knows of a tensor, or of the whole model, before it merges


@dataclass(frozen=True, slots=True, eq=False)
class Operands:
    """The same elements of the base and of its donors (and of their ancestor) in their stored dtypes, 1-D.

    Attributes:
        name: the base tensor.
        start: index of the first element in the flattened base tensor; with `name` it seeds what is random.
        row: elements in one row of the tensor.
        stored_donors: of those donors that merge here, in an order that does not depend on how they were named.
        donors: the number of each of them.
        count: how many donors there are in all.
        keys: what each of them is called where something random is drawn for it.
    """

    name: str
    start: int
    row: int
    stored_base: Tensor
    stored_donors: tuple[Tensor, ...]
    stored_ancestor: Tensor | None = None
    donors: tuple[int, ...] = (0,)
    count: int = 1
    keys: tuple[str, ...] = (DONOR,)

    @property
    def base(self) -> Tensor:
        """The base's elements as a float32 copy, which may be overwritten; `donor` and `ancestor` likewise."""
        return _float32(self.stored_base)

    @property
    def donor(self) -> Tensor:
        """The only donor's."""
        (stored,) = self.stored_donors
        return _float32(stored)

    @property
    def ancestor(self) -> Tensor:
        assert self.stored_ancestor is not None, "a method that reads the ancestor has to say so (needs_ancestor)"
        return _float32(self.stored_ancestor)

    def cut(self, step: int) -> Iterator[Operands]:
        """These operands in chunks of `step` elements."""
        ancestor = self.stored_ancestor
        for first in range(0, len(self.stored_base), step):
            part = slice(first, first + step)
            yield replace(
                self,
                start=self.start + first,
                stored_base=self.stored_base[part],
                stored_donors=tuple(stored[part] for stored in self.stored_donors),
                stored_ancestor=None if ancestor is None else ancestor[part],
            )

    def task_vectors(self) -> tuple[Tensor, ...]:
        """What fine-tuning added: base - ancestor, then each donor - ancestor, as float32 copies that may be
        overwritten."""
        ancestor = self.ancestor
        return tuple(_float32(stored).sub_(ancestor) for stored in (self.stored_base, *self.stored_donors))

    def of_all(self, own: Sequence[Tensor]) -> list[Tensor]:
        """One tensor for the base and one for every donor: `own` for those that merge here, zeros for the others."""
        found = [own[0].new_zeros(own[0].shape)] * (1 + self.count)
        for place, tensor in zip(self.places, own, strict=True):
            found[place] = tensor
        return found

    @property
    def places(self) -> tuple[int, ...]:
        """Of the base and the donors that merge here, among the base and all donors."""
        return (0, *(1 + donor for donor in self.donors))


@dataclass(frozen=True)
class Method:
    """One way to merge; a subclass adds its coefficients as fields, implements `merge` and is decorated by `register`.

    A method that needs statistics of whole tensors, or of the whole model, reads all weights in one or more `rounds`.
    In each round, `measure` is called for every chunk and its results are added up; from the sums of all rounds
    `conclude` computes the few numbers that `merge` gets. Neither may look at alpha: an engine keeps these numbers
    while alpha changes. Sums are int64 or float64 and added in a fixed order, so they do not depend on how the work was
    split.

    Attributes:
        many_donors: it merges any number of donors at once; else only one.
        needs_ancestor: it works on task vectors (fine-tuned minus ancestor).
        uses_alpha: False if the method computes the donor's weight from the weights themselves.
        whole_rows: a chunk always holds whole rows of the tensor (a 1-D tensor is one row).
        rounds: how many times all weights are read before the merge itself.
    """

    alpha: float | tuple[float, ...] = alpha()

    many_donors: ClassVar[bool] = False
    needs_ancestor: ClassVar[bool] = False
    uses_alpha: ClassVar[bool] = True
    whole_rows: ClassVar[bool] = False
    rounds: ClassVar[int] = 0

    @property
    def leaves_base(self) -> bool:
        """Whether alpha 0 gives the base itself."""
        return False

    @property
    def alphas(self) -> tuple[float, ...]:
        """The weight of each donor."""
        return self.alpha if isinstance(self.alpha, tuple) else (self.alpha,)

    def weights(self, x: Operands) -> tuple[float, ...]:
        """The base's weight and those of the donors that merge here; the base has what they leave."""
        return with_rest([self.alphas[donor] for donor in x.donors])

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


def with_rest(given: Sequence[float]) -> tuple[float, ...]:
    """What some weights leave of 1, then these; the sum does not depend on their order."""
    return (max(0.0, 1 - math.fsum(given)), *given)


def _float32(stored: Tensor) -> Tensor:
    import torch

    return stored.to(torch.float32, copy=True)
