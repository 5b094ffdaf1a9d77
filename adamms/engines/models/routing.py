"""Sending some tokens of a batch one way and the others another.

A token's way has to be known wherever the token is: in a chunk of a prefill, in a mixed batch, after a hit of the
prefix cache. Its positions are: vLLM keeps several channels of them for every request, and these models need one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

CHANNELS = 3  # vLLM knows no fewer
Layer = Callable[[Tensor], Any]


def positions_of(positions: Sequence[int], vision: Sequence[bool]) -> tuple[Tensor, int]:
    """What vLLM asks of `get_mrope_input_positions`.

    Args:
        positions: of each token of a prompt.
        vision: whether the token goes the way of images.

    Returns:
        [CHANNELS, tokens]: the position, and again, with one more for tokens that go the way of images; and what later
        positions differ by from their tokens' numbers.
    """
    channels = torch.tensor(positions, dtype=torch.int64).repeat(CHANNELS, 1)
    channels[1] += torch.tensor(vision, dtype=torch.int64)
    return channels, max(positions, default=-1) + 1 - len(positions)


class Route:
    """Which tokens of a batch go which way; the GPU is waited for once, when it is made.

    Args:
        positions: [CHANNELS, tokens], or [tokens] where vLLM tries the model out: all text.
    """

    def __init__(self, positions: Tensor) -> None:
        mask = positions[1] != positions[0] if positions.ndim > 1 else torch.zeros_like(positions, dtype=torch.bool)
        vision = mask.nonzero().squeeze(1)
        self._vision = vision if len(vision) else None
        self._text = (~mask).nonzero().squeeze(1) if len(vision) else None

    def __call__(self, hidden: Tensor, text: Layer, vision: Layer) -> Tensor:
        """Each token through its layer: [tokens, in] to [tokens, out]; a layer that nothing goes to is not called.

        Args:
            text, vision: give a tensor, or one and a bias, as vLLM's linear layers do.
        """
        if self._vision is None or self._text is None:
            return _tensor(text(hidden))
        if not len(self._text):
            return _tensor(vision(hidden))
        written, seen = _tensor(text(hidden[self._text])), _tensor(vision(hidden[self._vision]))
        output = written.new_empty(len(hidden), *written.shape[1:])
        output[self._text] = written
        output[self._vision] = seen
        return output


def _tensor(result: Any) -> Tensor:
    found: Tensor = result[0] if isinstance(result, tuple) else result
    return found
