from typing import Any

import torch
from torch import Tensor
from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding


class RoundedRope(RotaryEmbedding):  # type: ignore[misc]
    """Rotary positions computed in the model's own dtype, as CogVLM was trained: in bfloat16 positions from 256 on are
    rounded, and frequencies too. In float32 it is plain rope."""

    def __init__(self, head_dim: int, positions: int, theta: float) -> None:
        super().__init__(head_dim, head_dim, positions, theta, True, torch.get_default_dtype())

    def _compute_cos_sin_cache(self) -> Tensor:
        return self._table(self._compute_inv_freq(self.base))

    def take_frequencies(self, frequencies: Tensor) -> None:
        """Goes over to the frequencies of a checkpoint, which saved them rounded."""
        self.cos_sin_cache.copy_(self._table(frequencies.to(self.cos_sin_cache.device)))

    def _table(self, frequencies: Any) -> Tensor:
        frequencies = frequencies.to(self.dtype)
        positions = torch.arange(self.max_position_embeddings, dtype=self.dtype, device=frequencies.device)
        angles = torch.outer(positions, frequencies)
        return torch.cat((angles.cos(), angles.sin()), dim=-1)
