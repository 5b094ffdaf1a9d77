"""Opening what the user named: a model, an adapter together with the model that it names, or MODEL+ADAPTER."""

from adamms.checkpoint.adapted import AdaptedCheckpoint
from adamms.checkpoint.checkpoint import ADAPTER, MODEL, Checkpoint, Files
from adamms.checkpoint.quantised import refuse_quantised
from adamms.checkpoint.remote import RemoteCheckpoint
from adamms.checkpoint.remote_files import RemoteFiles
from adamms.checkpoint.resolve import could_be_place, is_hub_id, is_place, resolve
from adamms.errors import UserError
from adamms.support.files import expanded, is_folder


def open_checkpoint(location: str, *, weights: bool = True, full: bool = False) -> Checkpoint:
    """Opens a local folder, a Hub id with optional `@revision`, or a URL (https://, s3://, ...). Two of them
    joined by `+` are a model and a PEFT LoRA adapter; an adapter alone is added to the model that it names.

    Args:
        weights: False to fetch, of a remote checkpoint's weights, only the headers and samples that are read.
        full: whether every byte of the weights counts in its digest.

    Raises:
        UserError: there is nothing at the location, it is not a checkpoint, it is quantised, or it is an adapter that
            cannot be added to its model.
    """
    joined = _split(location)
    if joined is not None:
        model = open_checkpoint(joined[0], weights=weights, full=full)
        return AdaptedCheckpoint(model, _open(joined[1], weights, full, ADAPTER), location)
    found = _open(location, weights, full)
    if found.files is ADAPTER:
        return AdaptedCheckpoint(_model_of(found, weights, full), found, location)
    return found


def _split(location: str) -> tuple[str, str] | None:
    """MODEL (perhaps with an adapter, too) and ADAPTER; None for one place, whose name may have a + in it."""
    if "+" not in location or is_place(location):
        return None
    cuts = [(location[:i], location[i + 1 :]) for i in reversed(range(len(location))) if location[i] == "+"]
    fitting = [cut for cut in cuts if could_be_place(cut[0]) or _split(cut[0])]
    return next((cut for cut in fitting if could_be_place(cut[1])), next(iter(fitting), None))


def _open(location: str, weights: bool, full: bool, files: Files | None = None) -> Checkpoint:
    """One folder. `files`: what it has to be; where that is None it is an adapter if it holds no model."""
    place = resolve(location, weights)
    names = place.sizes if isinstance(place, RemoteFiles) else {path.name for path in place.iterdir()}
    has_adapter = ADAPTER.config in names
    if files is ADAPTER and not has_adapter:
        raise UserError(f"{location}: no {ADAPTER.config} here; what follows a + has to be a PEFT LoRA adapter")
    files = files or (ADAPTER if has_adapter and not MODEL.among(names) else MODEL)
    if isinstance(place, RemoteFiles):
        checkpoint: Checkpoint = RemoteCheckpoint(place, location, files)
    else:
        checkpoint = Checkpoint(place, location, full, files)
    _ = checkpoint.tensors  # reads the headers, which may be broken
    if files is MODEL:
        refuse_quantised(checkpoint)
        if has_adapter:
            both = f"{location}: a whole model with an adapter beside it; the model is taken without it"
            checkpoint.notes = (f"{both} ({location}+{location} would add it)",)
    return checkpoint


def _model_of(adapter: Checkpoint, weights: bool, full: bool) -> Checkpoint:
    """The model that an adapter's config names, on the Hub or in a folder here: whoever wrote a config does not choose
    an address that this machine asks."""
    name, revision = (adapter.config.get(key) for key in ("base_model_name_or_path", "revision"))
    mend = f"give both, as MODEL+{adapter.location}"
    if not isinstance(name, str) or not name:
        raise UserError(f"{adapter.location}: an adapter whose config does not name its model; {mend}")
    here = is_folder(expanded(name))
    if not here and not is_hub_id(name):
        what = f"{adapter.location}: an adapter of {name}"
        raise UserError(f"{what}, which cannot be taken (neither a Hub id nor a folder here); {mend}")
    place = name if here or not revision else f"{name}@{revision}"
    try:
        return _open(place, weights, full, MODEL)
    except UserError as error:
        raise UserError(f"{adapter.location}: an adapter of {place}, which cannot be taken ({error}); {mend}") from None
