"""From what the user names (a folder, or a Hub id with optional `@revision`) to a local folder."""

from __future__ import annotations

import re
from pathlib import Path

from adamms.errors import UserError

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
# What a merge needs of a repository: weights, configuration, tokenizer and processor, remote code.
_NEEDED = ["*.safetensors", "*.bin", "*.json", "*.model", "*.txt", "*.jinja", "*.py", "*.tiktoken"]


def resolve(location: str) -> Path:
    """The local folder of `location`; a Hub id is downloaded into (or found in) the Hugging Face cache.

    Raises:
        UserError: neither a folder nor a Hub id that can be had.
    """
    folder = Path(location).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.is_absolute() or location.startswith((".", "~")) or not _HUB_ID.fullmatch(location):
        raise UserError(f"{location}: no such folder, and not a Hub id like owner/name[@revision]")
    return _download(location)


def _download(location: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repo, _, revision = location.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=_NEEDED))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{location}: no such folder here, and the Hub did not give it ({reason}); check the name or log in"
        ) from None
