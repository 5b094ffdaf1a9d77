"""What the output has beside weights: the base's own files, a record of the merge, and a model card."""

import logging
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from adamms.addresses import mask, short_name
from adamms.checkpoint import Checkpoint
from adamms.checkpoint.card import card_metadata
from adamms.checkpoint.checkpoint import ADAPTER
from adamms.checkpoint.json_file import read_json
from adamms.checkpoint.resolve import SPEAKERS, TERMS
from adamms.errors import UserError
from adamms.mapping import PlannedPair
from adamms.mapping.architecture import is_authors_own
from adamms.mapping.plan import MergePlan, titled
from adamms.merging.licences import Licence, combined
from adamms.merging.mergekit import to_mergekit
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import Statistics
from adamms.merging.usage import NO_LIBRARY, loading_code
from adamms.support.files import is_folder, is_text, write_json, write_whole
from adamms.version import __version__

LOG = logging.getLogger(__name__)
RECORD = "adamms.json"
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".msgpack", ".h5", ".index.json")
_SMALL = (".py", ".jinja", ".json", ".txt", ".model")
_LEFT_OUT = (
    "README.md",
    "mergekit.yml",
    RECORD,
    ADAPTER.config,
)  # they would describe the base, or an adapter beside it
_OF_CHECKPOINT = (*_SMALL, ".tiktoken", ".safetensors", ".bin")
_INHERITED = ("language", "pipeline_tag")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_TRAINING_FOLDERS = ("__pycache__", "runs", "logs", "checkpoint-", "global_step")


def copy_companions(source: Path, target: Path) -> None:
    """Copies configuration, tokenizer, processor, chat template, remote code, licence: all that is not weights.

    Hidden files are left out. Of subfolders, only code, templates and small data files are copied. A symbolic link is
    followed where it leads to a file of the folder, or as the Hub's cache links to its files; the log names the others.

    Raises:
        UserError: `config.json` is such a link, so the output would be no checkpoint.
    """
    source = source.resolve()
    cache = source.parents[1] / "blobs" if source.parent.name == "snapshots" else source
    for name in sorted(_wanted(source)):
        path = source / name
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(home) for home in (source, cache)):
            if str(name) == "config.json":
                raise UserError(f"{path}: leads out of its folder; put the file itself there")
            LOG.warning("%s: leads out of its folder, so the output does not have it", path)
        elif path.is_file():  # no pipe, no device
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)


def _wanted(source: Path) -> Iterator[Path]:
    """Names of all that is copied, relative to the folder; linked folders are not entered."""
    tower = _inner_tower(source)
    for folder, folders, files in os.walk(source):
        inside = Path(folder).relative_to(source)
        top = inside == Path()
        folders[:] = [name for name in folders if not name.startswith(_TRAINING_FOLDERS if top else "__pycache__")]
        folders[:] = [name for name in folders if not (top and name.startswith("."))]
        links = [name for name in folders if (source / inside / name).is_symlink()]
        if tower is not None and inside.is_relative_to(tower):
            yield from (inside / name for name in files)
            continue
        for name in [*files, *links]:
            hidden = top and (name.startswith(".") or name in _LEFT_OUT)
            weights = name.endswith(_WEIGHTS) and name != SPEAKERS
            if not hidden and not weights and (top or name in links or name.endswith(_SMALL)):
                yield inside / name


def _inner_tower(source: Path) -> Path | None:
    """The folder within this one that has the vision tower's weights, where the config names one (Yi-VL's does)."""
    try:
        named = read_json(source / "config.json").get("mm_vision_tower")
    except UserError:
        return None
    tower = Path(named) if isinstance(named, str) and is_text(named) else Path()
    inner = tower != Path() and not tower.is_absolute() and ".." not in tower.parts
    return tower if inner and is_folder(source / tower) else None


def write_record(pair: PlannedPair, recipe: Recipe, statistics: Statistics, folder: Path) -> None:
    """Writes `adamms.json`, after all else: what was merged how, by which versions, and into which files.

    Of the statistics only those of the whole model are recorded; single tensors' can be hundreds.
    """
    import torch

    plan = pair.plan
    identities = titled(plan.base, plan.donors, plan.ancestor)
    models = {
        title: {**asdict(identity), "revision": _revision(model.folder), **_adapters(model)}
        for (title, identity), model in zip(identities, pair.models, strict=True)
    }
    record = {
        "adamms": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "plan": plan.fingerprint,
        "mapping": pair.mapping.given(),
        "recipe": recipe.to_dict(),
        "statistics": {"model": statistics.model, "tensors": len(statistics.parts)},
        **models,
        "notes": plan.notes,
        "warnings": plan.warnings,
        "files": _files_in(folder),
    }
    write_json(folder / RECORD, record)


def _files_in(folder: Path) -> list[str]:
    """The record itself, and every file that is there before it."""
    return sorted({RECORD, *(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())})


def was_merged_as(folder: Path, plan: MergePlan, recipe: Recipe) -> bool:
    """Whether a folder holds the merge of this plan by this recipe; such a folder is never incomplete."""
    record = read_record(folder)
    return (record.get("plan"), record.get("recipe")) == (plan.fingerprint, recipe.to_dict())


def read_record(folder: Path) -> dict[str, Any]:
    """What `write_record` wrote; empty where the folder is no output of a merge, or its record is broken."""
    try:
        return read_json(folder / RECORD)
    except UserError:
        return {}


def not_ours(folder: Path) -> Path | None:
    """The first thing in a folder that no merge wrote; None: it holds outputs of merges, or nothing, so that nobody
    loses anything else when it is replaced."""
    written: dict[Path, Callable[[Path], bool]] = {}
    for place, folders, files in os.walk(folder, onerror=_raise):
        here = Path(place)
        record = read_record(here)
        written[here] = _written(here, record) if "adamms" in record else written.get(here.parent, lambda path: False)
        links = [name for name in folders if (here / name).is_symlink()]
        found = next((here / name for name in sorted([*files, *links]) if not written[here](here / name)), None)
        if found is not None:
            return found
        folders[:] = sorted(name for name in folders if name != "__pycache__")  # whoever runs a model's code makes it
    return None


def _raise(error: OSError) -> NoReturn:
    raise error


def _written(folder: Path, record: Mapping[str, Any]) -> Callable[[Path], bool]:
    """Whether a path within the folder of a merge is one that the merge wrote: it is on the record or, where that has
    no list, as earlier versions left it, looks like a file of a checkpoint."""
    files = record.get("files")
    if not isinstance(files, list):
        return lambda path: not path.is_symlink() and _is_of_checkpoint(path.name)
    return {folder / name for name in files if isinstance(name, str)}.__contains__


def _is_of_checkpoint(name: str) -> bool:
    return name.endswith(_OF_CHECKPOINT) or name.startswith(TERMS) or name in _LEFT_OUT


def _revision(folder: Path) -> str | None:
    """The commit of a folder in the Hub's cache (.../snapshots/COMMIT), None for other folders."""
    return folder.name if folder.parent.name == "snapshots" else None


def _adapters(model: Checkpoint) -> dict[str, Any]:
    found = [{"location": part.location, "revision": _revision(part.folder)} for part in model.parts[1:]]
    return {"adapters": found} if found else {}


def write_model_card(pair: PlannedPair, recipe: Recipe, folder: Path) -> None:
    """Writes README.md, with the metadata by which the Hub shows a merge."""
    plan, base, donors = pair.plan, pair.base, pair.donors
    licences = {who: Licence.of(card_metadata(part.folder)) for who, part in _parts(base, donors)}
    card = f"""---
{_metadata(base, donors, combined(*licences.values()))}---

# {_title(base)} merged with {_listed(map(_title, donors))}

The language model{"s" if len(donors) > 1 else ""} of {_merged(plan)} merged into `{_inline(plan.base.location)}` (the
base), whose architecture, vision encoder and processors this model keeps, with
[AdaMMS](https://arxiv.org/abs/2503.23733) {__version__}.

## How to use it

{_usage(plan, base)}

## How it was merged

```yaml
{_recipe_yaml(pair, recipe)}```

{_weights_told(donors)} {plan.summary[:1].upper()}{plan.summary[1:]}; plan {plan.fingerprint}. `{RECORD}` has the
revisions and versions.
{"".join(f"{chr(10)}- **Warning:** {_inline(warning)}" for warning in plan.warnings)}
{"".join(f"{chr(10)}- {_inline(note)}" for note in plan.notes)}

## Licence

The licences of {"both" if len(licences) == 2 else "all"} models apply: {_licences_told(licences)}.
"""
    write_whole(folder / "README.md", card)


def _merged(plan: MergePlan) -> str:
    """Every donor, by its name and what it is called."""
    return _listed(f"`{_inline(one.location)}` ({_the(who)})" for who, one in titled(plan.base, plan.donors, None)[1:])


def _the(title: str) -> str:
    return "the donor" if title == "donor" else title


def _weights_told(donors: Sequence[Checkpoint]) -> str:
    return "alpha is the donor's weight." if len(donors) == 1 else "alpha has the donors' weights, in their order."


def _licences_told(licences: Mapping[str, Licence]) -> str:
    return "; ".join(f"{who} {_inline(one.title)}" for who, one in licences.items())


def _parts(base: Checkpoint, donors: Sequence[Checkpoint]) -> Iterator[tuple[str, Checkpoint]]:
    """Every model and adapter of the merge, with what it is: base, the base's adapter, donor, ..."""
    for who, model in titled(base, donors, None):
        yield who, model.parts[0]
        adapters = model.parts[1:]
        for i, adapter in enumerate(adapters, 1):
            yield f"{who}'s adapter{f' {i}' if len(adapters) > 1 else ''}", adapter


def _listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def write_mergekit(plan: MergePlan, recipe: Recipe, folder: Path) -> None:
    """Writes mergekit.yml, the same merge as a recipe of mergekit, where that can do it."""
    import yaml

    if found := to_mergekit(plan, recipe):
        write_whole(folder / "mergekit.yml", yaml.safe_dump(found, sort_keys=False, allow_unicode=True))


def _usage(plan: MergePlan, base: Checkpoint) -> str:
    """How a model of the base's kind is loaded and served; `MODEL` is where the card lies."""
    if is_authors_own(plan.base.architecture, plan.base.layout):
        return f"With the code of the base's authors, which loads it as it loads the base: {NO_LIBRARY}."
    code = loading_code("MODEL", images=_sees(base), remote_code=bool(base.config.get("auto_map")))
    return f"```python\n{code}\n```\n\nWhere vLLM knows the base's architecture: `vllm serve MODEL`."


def _sees(base: Checkpoint) -> bool:
    return any("vision" in key or "visual" in key for key in base.config)


def _recipe_yaml(pair: PlannedPair, recipe: Recipe) -> str:
    """The merge as settings of AdaMMS, which can do it again."""
    import yaml

    plan, mapping = pair.plan, pair.mapping.given()
    options = {name: value for name, value in recipe.to_dict().items() if name not in ("method", "alpha")}
    donors = [_inline(donor.location) for donor in plan.donors]
    found: dict[str, Any] = {"base": _inline(plan.base.location)}
    found |= {"donor": donors[0]} if len(donors) == 1 else {"donors": donors}
    found |= {"ancestor": _inline(plan.ancestor.location)} if plan.ancestor else {}
    found |= {"mapping": mapping} if mapping else {}
    found["merging"] = {"method": recipe.method, **({"options": options} if options else {})}
    if recipe.rule.uses_alpha:
        found["alpha"] = recipe.alpha if len(donors) == 1 else ",".join(map(str, recipe.rule.alphas))
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True)


def _inline(text: str) -> str:
    """A foreign text on one line of Markdown, which cannot end the code that it stands in."""
    return " ".join(mask(text).split()).replace("`", "'")


def _metadata(base: Checkpoint, donors: Sequence[Checkpoint], licence: Licence) -> str:
    import yaml

    inherited = card_metadata(base.folder)
    models = [hub_id(part.location) for model in (base, *donors) for part in model.parts]
    metadata = {
        "base_model": list(dict.fromkeys(filter(None, models))),
        "base_model_relation": "merge",
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text" if _sees(base) else "text-generation",
        "tags": ["merge", "model-merging", "adamms"],
        **{key: value for key in _INHERITED if _is_plain(value := inherited.get(key))},
        **licence.metadata(),
    }
    if not metadata["base_model"]:  # the Hub links these ids, and those of folders would lead anywhere
        del metadata["base_model"], metadata["base_model_relation"]
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _is_plain(value: Any) -> bool:
    """Whether a card may hold a value: text, or a list of texts, as languages are."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def hub_id(location: str) -> str | None:
    """The Hub's id of a model, without its revision; None for a folder or an address."""
    local = "://" in location or is_folder(Path(location)) or not HUB_ID.fullmatch(location.partition("@")[0])
    return None if local else location.partition("@")[0]


def _title(model: Checkpoint) -> str:
    return _inline("+".join(short_name(part.location) for part in model.parts))
