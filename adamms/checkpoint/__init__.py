"""Reading Hugging Face checkpoints tensor by tensor, without loading a model."""

from adamms.checkpoint.checkpoint import Checkpoint
from adamms.checkpoint.opening import open_checkpoint
from adamms.checkpoint.tensor_info import DTYPES, TensorInfo

__all__ = ["DTYPES", "Checkpoint", "TensorInfo", "open_checkpoint"]
