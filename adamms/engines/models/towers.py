"""What the vision towers of our models have in common, for vLLM."""

from __future__ import annotations

from torch import Tensor, nn
from vllm.model_executor.layers.activation import get_act_fn
from vllm.model_executor.layers.linear import ColumnParallelLinear, RowParallelLinear


class VisionMlp(nn.Module):
    def __init__(self, width: int, inner: int, activation: str) -> None:
        super().__init__()
        self.fc1 = ColumnParallelLinear(width, inner, bias=True)
        self.activation = get_act_fn(activation)
        self.fc2 = RowParallelLinear(inner, width, bias=True)

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.fc2(self.activation(self.fc1(hidden)[0]))[0]
        return output
