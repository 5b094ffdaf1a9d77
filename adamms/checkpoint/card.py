"""The metadata of a model card."""

import logging
import os
from pathlib import Path
from typing import Any

from adamms.errors import first_line
from adamms.support.files import read_regular

LOG = logging.getLogger(__name__)
_LARGEST_CARD, _LARGEST_METADATA = 1 << 24, 1 << 16  # bytes, characters; YAML is parsed slowly


def card_metadata(folder: Path) -> dict[str, Any]:
    """What README.md says at its head; empty where there is none that can be read."""
    import yaml
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    card = folder / "README.md"
    if not os.path.lexists(card):
        return {}
    try:
        found = REGEX_YAML_BLOCK.search(read_regular(card, _LARGEST_CARD).decode("utf-8"))
        metadata = yaml.safe_load(found.group(2)[:_LARGEST_METADATA]) if found else {}
    except Exception as error:  # the YAML library raises whatever its constructors meet
        LOG.warning("%s: its metadata (licence, language, base model) cannot be read (%s)", card, first_line(error))
        return {}
    return metadata if isinstance(metadata, dict) else {}
