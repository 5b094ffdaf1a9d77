"""A plan's models on this machine: fetched once, however many processes ask, and the very ones of the plan."""

from __future__ import annotations

import socket
from typing import Protocol

from adamms.checkpoint.checkpoint import Checkpoint
from adamms.errors import UserError


class Identified(Protocol):
    """A model of a plan (`ModelIdentity`)."""

    @property
    def location(self) -> str:
        """Folder, Hub id with optional revision, or URL."""
        ...

    @property
    def digest(self) -> str:
        """Of the checkpoint that the plan was made from."""
        ...


def stage(model: Identified) -> Checkpoint:
    """Opens a model on this machine, where its files are fetched first unless they lie here or on a shared disk.

    Raises:
        UserError: it cannot be had from here, or is another one than where the plan was made.
    """
    try:
        checkpoint = Checkpoint.open(model.location)
    except UserError as error:
        raise UserError(f"{error} (seen from {socket.gethostname()})") from None
    if checkpoint.digest != model.digest:
        raise UserError(
            f"{model.location}: on {socket.gethostname()} it is not the checkpoint that the plan was made from; "
            "give all machines the same files, or name the model as owner/name@revision"
        )
    return checkpoint
