"""The header of a safetensors file, checked before it is used.

Format: https://huggingface.co/docs/safetensors (8 bytes little-endian header length, JSON header, data).
"""

import itertools
import json
import reprlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adamms.checkpoint.lfs import refuse_pointer
from adamms.checkpoint.tensor_info import DTYPES, TensorInfo
from adamms.errors import UserError

MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself
MOST_ELEMENTS = 1 << 63
ReadBytes = Callable[[int, int], bytes]  # from start to stop


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Every tensor of the file, by name.

    Raises:
        UserError: the file is truncated, its header is malformed, or a tensor's bytes lie outside the file or overlap
            another tensor's.
    """
    try:
        with path.open("rb") as file:

            def read(start: int, stop: int) -> bytes:
                file.seek(start)
                return file.read(stop - start)

            return parse_header(path, path.stat().st_size, read)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from None


def parse_header(path: Path, size: int, read: ReadBytes) -> dict[str, TensorInfo]:
    """As `read_header`, for a file of `size` bytes that `read` reads; `path` is its name."""
    header, data_start = _parse_json(path, size, read)
    data_bytes = size - data_start
    tensors, spans, problems = {}, [], []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            info, begin, end = _tensor(path, name, entry, data_start)
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{_short(name)}: {error}")
            continue
        if not 0 <= begin <= end <= data_bytes:
            problems.append(f"{_short(name)}: bytes {begin}-{end} lie outside the file's {data_bytes} bytes of data")
        tensors[name] = info
        spans.append((begin, end, name))
    spans.sort()
    for (_, end, name), (begin, _, other) in itertools.pairwise(spans):
        if begin < end:
            problems.append(f"{_short(name)} and {_short(other)} overlap")
    if problems:
        raise UserError(f"{path}: bad safetensors header: {'; '.join(problems[:5])}; download the file again")
    return tensors


def _parse_json(path: Path, size: int, read: ReadBytes) -> tuple[dict[str, Any], int]:
    prefix = read(0, 8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else -1
    if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
        refuse_pointer(path, read(0, min(size, 64)))
        raise UserError(
            f"{path}: not a whole safetensors file (a header of {length} bytes in a file of {size}); download it again"
        )
    raw = read(8, 8 + length)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=no_duplicates)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: the safetensors header is not valid JSON ({error}); download the file again"
        ) from None
    if not isinstance(header, dict):
        raise UserError(f"{path}: the safetensors header is not a JSON object; download the file again")
    return header, 8 + length


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object from its pairs; ValueError if a name appears twice."""
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"{_short(name)} appears twice")
        result[name] = value
    return result


def _tensor(path: Path, name: str, entry: Any, data_start: int) -> tuple[TensorInfo, int, int]:
    if not isinstance(entry, dict):
        raise TypeError("its entry is not an object")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"unknown dtype {_short(dtype)}")
    if not isinstance(shape, list) or not all(map(_is_size, shape)):
        raise ValueError(f"shape {_short(shape)} is not a list of sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise ValueError(f"data_offsets {_short(offsets)} are not two positions")
    begin, end = offsets
    expected = _elements(shape) * DTYPES[dtype]
    if end - begin != expected:
        raise ValueError(f"{end - begin} bytes for {dtype} {_short(shape)}, expected {expected}")
    return TensorInfo(name, dtype, tuple(shape), path, data_start + begin), begin, end


def _is_size(number: Any) -> bool:
    return type(number) is int and 0 <= number < MOST_ELEMENTS


def _elements(shape: list[int]) -> int:
    """The product of the sizes, which stays a number of few digits however many they are."""
    count = 1
    for size in shape:
        count *= size
        if count >= MOST_ELEMENTS:
            raise ValueError(f"shape {_short(shape)} has more elements than any file")
    return count


def _short(value: Any) -> str:
    """A foreign value for a message: as Python writes it, cut where it is long."""
    shown = reprlib.Repr()
    shown.maxstring = 200
    return shown.repr(value)
