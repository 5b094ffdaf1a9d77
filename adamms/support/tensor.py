"""torch's tensor as a type, for modules that name it in annotations and do not import torch, which takes seconds."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor as Tensor
else:
    Tensor = Any
