"""Opening a checkpoint wherever it lies."""

from __future__ import annotations

from adamms.checkpoint.checkpoint import Checkpoint
from adamms.checkpoint.remote import RemoteCheckpoint
from adamms.checkpoint.remote_files import RemoteFiles
from adamms.checkpoint.resolve import resolve


def open_checkpoint(location: str, *, weights: bool = True) -> Checkpoint:
    """Opens a local folder, a Hub id with optional `@revision`, or a URL that fsspec knows (s3://...).

    Args:
        weights: False to fetch, of a remote checkpoint's weights, only the headers and samples that are read.

    Raises:
        UserError: there is nothing at the location, or it is not a checkpoint.
    """
    place = resolve(location, weights)
    checkpoint = RemoteCheckpoint(place, location) if isinstance(place, RemoteFiles) else Checkpoint(place, location)
    _ = checkpoint.tensors  # reads the headers, which may be broken
    return checkpoint
