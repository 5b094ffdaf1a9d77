"""Pickled checkpoints (`.bin`), opened by torch with `weights_only=True` and memory-mapped."""

from functools import lru_cache
from pathlib import Path

from adamms.checkpoint.lfs import refuse_pointer
from adamms.checkpoint.tensor_info import TensorInfo
from adamms.errors import UserError, first_line
from adamms.support.tensor import Tensor


@lru_cache(maxsize=64)
def load_mapped(path: Path) -> dict[str, Tensor]:
    """All tensors of the file as views of a memory map, which reads nothing until they are used.

    Raises:
        UserError: the file cannot be read, is not a torch checkpoint, or holds more than tensors.
        FileNotFoundError: it is not there: gone since its header was read, or on another machine's disk.
    """
    import torch

    try:
        with path.open("rb") as file:
            refuse_pointer(path, file.read(64))
        loaded = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (UserError, FileNotFoundError):
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from None
    except Exception as error:  # torch raises whatever its unpickler meets
        raise UserError(
            f"{path}: not a torch checkpoint of plain tensors ({first_line(error)}); convert it to safetensors"
        ) from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path}: holds a {type(loaded).__name__}, expected a state dict; convert it to safetensors")
    tensors = {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise UserError(f"{path}: holds no named tensors, expected a state dict; convert it to safetensors")
    return tensors


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Every tensor of the file, by name. Raises UserError as `load_mapped` does, and where the file is not there."""
    from adamms.checkpoint.dtypes import DTYPE_NAMES

    found = {}
    try:
        tensors = load_mapped(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; an index names it, or it is gone: get the checkpoint anew") from None
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPE_NAMES or tensor.is_sparse or tensor.is_quantized:
            raise UserError(f"{path}: {name!r} is no plain tensor ({tensor.dtype}); convert the file to safetensors")
        found[name] = TensorInfo(name, DTYPE_NAMES[tensor.dtype], tuple(tensor.shape), path, None)
    return found
