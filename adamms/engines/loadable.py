"""The folder that an engine's library loads a model from."""

from pathlib import Path
from tempfile import TemporaryDirectory

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.checkpoint import ADAPTER


class LoadableFolder:
    """The base's own folder or, where an adapter lies beside the model, one of links to everything else: transformers
    would add the adapter without being asked, vLLM would take its file for weights of the model.

    Attributes:
        path: there as long as this object is.
    """

    def __init__(self, model: Checkpoint) -> None:
        self.path = model.folder
        if (model.folder / ADAPTER.config).is_file():
            self._links = TemporaryDirectory(prefix="adamms-")
            self.path = Path(self._links.name)
            for file in model.folder.iterdir():
                if file.name not in (ADAPTER.config, *ADAPTER.weights):
                    (self.path / file.name).symlink_to(file)
