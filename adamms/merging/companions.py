"""What the output has beside weights: the base's own files, a record of the merge, and a model card."""

import json
import platform
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.json_file import read_json
from adamms.mapping.plan import MergePlan
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import Statistics
from adamms.version import __version__

RECORD = "adamms.json"
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".msgpack", ".h5", ".index.json")
_WRITTEN_ANEW = ("README.md", RECORD)  # the base's own would describe the base
_INHERITED = ("license", "license_name", "license_link", "language", "pipeline_tag")
_TRAINING_FOLDERS = ("__pycache__", "runs", "logs", "checkpoint-", "global_step")


def copy_companions(source: Path, target: Path) -> None:
    """Copies configuration, tokenizer, processor, chat template, remote code, licence: all that is not weights.

    Symbolic links (as in the Hub's cache) are resolved and hidden files left out. Of subfolders, only code, templates
    and small data files are copied.
    """
    for path in sorted(source.iterdir()):
        if path.name.startswith(".") or path.name in _WRITTEN_ANEW:
            continue
        if path.is_file() and not path.name.endswith(_WEIGHTS):
            shutil.copyfile(path, target / path.name)
        elif path.is_dir() and not path.name.startswith(_TRAINING_FOLDERS):
            _copy_small(path, target / path.name)


def _copy_small(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        wanted = path.suffix in (".py", ".jinja", ".json", ".txt", ".model") and not path.name.endswith(_WEIGHTS)
        if path.is_file() and wanted and "__pycache__" not in path.parts:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def write_record(
    plan: MergePlan, models: Iterable[Checkpoint], recipe: Recipe, statistics: Statistics, folder: Path
) -> None:
    """Writes `adamms.json`: what was merged how, and by which versions.

    Of the statistics only those of the whole model are recorded; single tensors' can be hundreds.
    """
    import torch

    identities = (plan.base, plan.donor, plan.ancestor)
    record = {
        "adamms": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "plan": plan.fingerprint,
        "recipe": recipe.to_dict(),
        "statistics": {"model": statistics.model, "tensors": len(statistics.parts)},
        **{
            role: {**asdict(identity), "revision": _revision(model.folder)}
            for role, identity, model in zip(("base", "donor", "ancestor"), identities, models, strict=False)
            if identity is not None
        },
        "notes": plan.notes,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def was_merged_as(folder: Path, plan: MergePlan, recipe: Recipe) -> bool:
    """Whether a folder holds the merge of this plan by this recipe; such a folder is never incomplete."""
    path = folder / RECORD
    record = read_json(path) if path.is_file() else {}
    return (record.get("plan"), record.get("recipe")) == (plan.fingerprint, recipe.to_dict())


def _revision(folder: Path) -> str | None:
    """The commit of a folder in the Hub's cache (.../snapshots/COMMIT), None for other folders."""
    return folder.name if folder.parent.name == "snapshots" else None


def write_model_card(plan: MergePlan, base: Checkpoint, recipe: Recipe, folder: Path) -> None:
    """Writes README.md, with the metadata by which the Hub shows a merge."""
    coefficients = "\n".join(f"| {name} | {value} |" for name, value in recipe.to_dict().items())
    card = f"""---
{_metadata(plan, base)}---

# {_short(plan.base.location)} merged with {_short(plan.donor.location)}

The language model of `{plan.donor.location}` (the donor) merged into `{plan.base.location}` (the base), whose
architecture, vision encoder and processors this model keeps, with
[AdaMMS](https://arxiv.org/abs/2503.23733) {__version__}.

| | |
|---|---|
{coefficients}
| merged | {len(plan.merged)} of {len(plan.tensors)} tensors |
| plan | {plan.fingerprint} |

alpha is the donor's weight. `{RECORD}` has the revisions and versions.
{"".join(f"{chr(10)}- {note}" for note in plan.notes)}

The licences of both models apply.
"""
    (folder / "README.md").write_text(card, encoding="utf-8")


def _metadata(plan: MergePlan, base: Checkpoint) -> str:
    import yaml

    inherited = _metadata_of(base.folder / "README.md")
    metadata = {
        "base_model": [_card_name(plan.base.location), _card_name(plan.donor.location)],
        "base_model_relation": "merge",
        "library_name": "transformers",
        "tags": ["merge", "adamms"],
        **{key: inherited[key] for key in _INHERITED if key in inherited},
    }
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _metadata_of(card: Path) -> dict[str, Any]:
    """The metadata of a model card; empty where there is none that can be read."""
    import yaml
    from huggingface_hub import metadata_load

    try:
        return metadata_load(card) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}


def _card_name(location: str) -> str:
    """What a model card calls a model: its Hub id without revision, or a local folder's name."""
    return Path(location).name if Path(location).is_dir() else location.partition("@")[0]


def _short(location: str) -> str:
    return _card_name(location).rsplit("/", 1)[-1]
