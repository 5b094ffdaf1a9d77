"""Opening the models of a plan on another machine than the one it was made on."""

import socket

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.errors import UserError
from adamms.mapping.plan import ModelIdentity


def stage(model: ModelIdentity) -> Checkpoint:
    """Opens a model on this machine; its files are fetched first unless they are here or on a shared disk.

    Raises:
        UserError: this machine cannot get it, or has another model at that location than the plan was made from.
    """
    try:
        checkpoint = open_checkpoint(model.location, full=model.full)
    except UserError as error:
        raise UserError(f"{error} (seen from {socket.gethostname()})") from None
    if checkpoint.digest != model.digest:
        raise UserError(
            f"{model.location}: on {socket.gethostname()} it is not the checkpoint that the plan was made from; "
            "give all machines the same files, or name the model as owner/name@revision"
        )
    return checkpoint
