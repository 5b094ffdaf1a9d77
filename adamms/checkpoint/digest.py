"""Which model a checkpoint is: a digest of its weights, from samples of every tensor, or from every byte.

Times of files do not count: a copy, or the same model fetched again, is the same model.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path

from adamms.checkpoint import torch_file
from adamms.checkpoint.tensor_info import TensorInfo
from adamms.support.system import cores

BLOCK, FEWEST, EVERY = 4096, 3, 1 << 24
"""Bytes in a sample; samples of every tensor; and a further one for every so many bytes of it."""
AT_ONCE = 16
"""Samples are small reads, most of whose time is waiting where the disk is on a network."""
ReadRange = Callable[[int, int], bytes]  # from start to stop, within a tensor


def header_digest(tensors: Iterable[TensorInfo]) -> bytes:
    """Of what headers say: names, dtypes, shapes and places, in the order of the files."""
    lines = (f"{t.name!r} {t.dtype} {t.shape} {t.path.name!r} {t.offset}\n" for t in tensors)
    return hashlib.sha256("".join(lines).encode()).digest()


def sampled_digest(tensors: Iterable[TensorInfo]) -> bytes:
    """Of headers, sizes of files, and blocks from the first byte of every tensor to its last."""
    found = list(tensors)
    hasher = hashlib.sha256(header_digest(found))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for path, of_file in groupby(found, key=lambda tensor: tensor.path):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                hasher.update(f"{os.fstat(descriptor).st_size}\n".encode())
                for sample in pool.map(partial(_sample, descriptor), of_file):
                    hasher.update(sample)
            finally:
                os.close(descriptor)
    return hasher.digest()


def full_digest(files: Iterable[Path]) -> bytes:
    """Of every byte of the files."""
    with ThreadPoolExecutor(cores()) as pool:
        return hashlib.sha256(b"".join(pool.map(_hash_file, files))).digest()


def _sample(descriptor: int, tensor: TensorInfo) -> bytes:
    if tensor.offset is None:
        read = _reader_of_pickled(tensor)
    else:
        offset = tensor.offset
        read = lambda start, stop: os.pread(descriptor, stop - start, offset + start)  # noqa: E731
    return hashlib.sha256(b"".join(read(*span) for span in _spans(tensor.nbytes))).digest()


def _spans(size: int) -> list[tuple[int, int]]:
    """Where a tensor of so many bytes is sampled: evenly, its first and its last bytes included."""
    count = FEWEST + size // EVERY
    if size <= count * BLOCK:
        return [(0, size)]
    starts = ((size - BLOCK) * i // (count - 1) for i in range(count))
    return [(start, start + BLOCK) for start in starts]


def _reader_of_pickled(tensor: TensorInfo) -> ReadRange:
    import torch

    octets = torch_file.load_mapped(tensor.path)[tensor.name].reshape(-1).view(torch.uint8)
    return lambda start, stop: octets[start:stop].numpy().tobytes()


def _hash_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
