"""The folder that an engine's library loads a model from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.checkpoint import ADAPTER
from adamms.checkpoint.resolve import fetch_small_files
from adamms.engines.engine import EngineSpec
from adamms.engines.models.families import Family, family_of, files_of
from adamms.engines.models.plugin import register_with_transformers
from adamms.engines.models.vision_tower import fetch_tower
from adamms.mapping.architecture import Architecture, known_architectures, named_architecture

TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json")  # one of them is the tokenizer
_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


class LoadableFolder:
    """The base's own folder or, where a library would not find there what it needs, one of links to all of it with
    some files changed:

    - without an adapter that lies beside the model: transformers would add it without being asked, vLLM would take its
      file for weights of the model;
    - config and processor of a class of ours (`models.families`), for what its authors publish;
    - tokenizer and chat template of its family (`mapping/architectures`), where the checkpoint has none.

    Attributes:
        path: there as long as this object is.
        notes: sentences for the user about what is not the checkpoint's own.
    """

    def __init__(self, model: Checkpoint, spec: EngineSpec, weights: bool = True) -> None:
        """
        Args:
            weights: False to read configs and processors only.

        Raises:
            UserError: no engine can load the model, or what it needs cannot be fetched.
        """
        family, architecture = family_of(spec.plan.base), _architecture(spec)
        self.path = model.folder
        self.notes: tuple[str, ...] = ()
        left_out = (ADAPTER.config, *ADAPTER.weights) if (model.folder / ADAPTER.config).is_file() else ()
        texts: dict[str, str] = {}
        if family is not None:
            register_with_transformers()
            if weights and family.second:
                fetch_tower(model)
            texts = files_of(family, model, spec.plan.base)
        template, tokenizer = _missing(model.folder, architecture, family)
        if template:
            texts["chat_template.jinja"] = template
            self.notes += (f"{model.location}: has no chat template for images; its family's is used",)
        links = [file for file in model.folder.iterdir() if file.name not in (*left_out, *texts)]
        if tokenizer:
            source = fetch_small_files(tokenizer)
            links = [file for file in links if file.name not in _BESIDE]
            links += [source / name for name in (*TOKENIZER, *_BESIDE) if (source / name).is_file()]
            self.notes += (f"{model.location}: has no tokenizer; its family's is used, {tokenizer}",)
        if texts or tokenizer or left_out:
            self._links = TemporaryDirectory(prefix="adamms-", dir=_session())
            self.path = Path(self._links.name)
            for file in links:
                (self.path / file.name).symlink_to(file)
            for name, text in texts.items():
                (self.path / name).write_text(text, encoding="utf-8")


def _session() -> Path | None:
    """In an actor, Ray's folder of the session, which goes with that: an actor is killed, and clears nothing up."""
    ray = sys.modules.get("ray")  # in an actor it is there; elsewhere it is not worth importing
    if ray is None or not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    return Path(context.get_temp_dir(), context.get_session_name()) if context.get_actor_id() else None


def _architecture(spec: EngineSpec) -> Architecture | None:
    """What describes the base; None where it was recognised by its structure alone."""
    if spec.base_architecture is not None:
        return named_architecture(spec.base_architecture)
    return known_architectures().get(spec.plan.base.architecture)


def _missing(folder: Path, architecture: Architecture | None, family: Family | None) -> tuple[str | None, str | None]:
    """The chat template and the model with the tokenizer that the family has and the folder has not."""
    if architecture is None:
        return None, None
    asked = any((folder / name).is_file() for name in _TEMPLATES) or (family is None and _has_inner_template(folder))
    tokenises = any((folder / name).is_file() for name in TOKENIZER)
    return None if asked else architecture.chat_template, None if tokenises else architecture.tokenizer


def _has_inner_template(folder: Path) -> bool:
    """Whether a file of another name holds a chat template; a tokenizer's own is for text, unless one of the libraries'
    classes reads it."""
    for name in ("tokenizer_config.json", "processor_config.json"):
        try:
            if json.loads((folder / name).read_text(encoding="utf-8")).get("chat_template"):
                return True
        except (OSError, ValueError, AttributeError):
            continue
    return False
