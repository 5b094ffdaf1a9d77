"""AdaMMS: merge multimodal language models of different architecture, and find the coefficient without labels.

    import adamms

    found = adamms.search("BASE", "DONOR", prompts="prompts.jsonl", run_dir="runs/first", n=100)
    print(found.alpha, found.verdict, found.checkpoint)

Every function takes further settings as keyword arguments, grouped as in YAML: `engine={"max_tokens": 16}`. Errors that
can be mended are `adamms.UserError`. Nothing goes to MLflow unless `tracking={"enabled": True}`. Nothing heavy is
imported before a function is called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamms.errors import UserError
from adamms.version import __version__

if TYPE_CHECKING:
    from adamms.judging.judgement import Judgement
    from adamms.mapping.plan import MergePlan
    from adamms.reporting.ranking import RankedSearch
    from adamms.searching.outcome import Outcome
    from adamms.selecting.methods import MethodSelection
    from adamms.selecting.selection import Selection

__all__ = ["SearchResult", "UserError", "__version__", "evaluate", "merge", "plan", "search", "select", "sweep"]


Donor = str | Path | Sequence[str | Path]
"""A model, or several that are merged into the base at once."""


@dataclass(frozen=True)
class SearchResult:
    """What a search has found.

    Attributes:
        alpha: the value that was chosen (of the coefficient that was searched); of several donors, the weight of the
            one that the last line is along.
        weights: donor -> its weight, of a search over those of several.
        method: the one that was chosen, of a search over several; alpha, scores and outcome are of its own line.
        verdict: how far the choice is supported, in words.
        scores: candidate's value -> score; None where it has none.
        checkpoint: the winner's folder.
        outcome: everything else, the choices of several tasks among it.
    """

    alpha: float
    verdict: str
    scores: Mapping[float, float | None]
    checkpoint: Path
    outcome: Outcome = field(repr=False)
    weights: Mapping[str, float] = field(default_factory=dict)
    method: str = ""


def plan(base: str | Path, donor: Donor, **settings: Any) -> MergePlan:
    """What would merge into what: as `adamms map`."""
    from adamms.commands.map import map_pair
    from adamms.commands.settings import MapSettings

    return map_pair(_settings(MapSettings, settings, **_models(base, donor)))


def merge(
    base: str | Path,
    donor: Donor,
    *,
    output: str | Path,
    alpha: float | Sequence[float] | None = None,
    force: bool = False,
    **settings: Any,
) -> Path:
    """Merges with one alpha, or one for each of several donors, and writes a complete checkpoint: as `adamms merge`.
    Gives its folder."""
    from adamms.commands.merge import merge as run
    from adamms.merging.config import MergeSettings

    given = _settings(MergeSettings, settings, **_models(base, donor))
    weights = tuple(alpha) if isinstance(alpha, Sequence) else alpha
    return run(given, weights, Path(output), force=force)


def search(
    base: str | Path,
    donor: Donor,
    *,
    prompts: str | Path | Mapping[str, Any] | Sequence[str | Mapping[str, Any]],
    run_dir: str | Path,
    n: int = 100,
    force: bool = False,
    **settings: Any,
) -> SearchResult:
    """Finds alpha without labels and exports the winner: as `adamms search`. Leaves nothing outside `run_dir`.

    Args:
        prompts: a file, data set or folder, or the prompts themselves: texts, or mappings with `prompt` and `images`,
            which are kept in `run_dir`; or their settings, as `{"path": ..., "suffix": ...}`.
        n: how many are drawn, unless such settings say it.

    Raises:
        UserError: something that can be mended, or nothing could be chosen.
    """
    from adamms.commands.search import search as run
    from adamms.commands.settings import SearchSettings
    from adamms.support.files import expanded

    if isinstance(prompts, Mapping):
        asked = {"n": n, **prompts}
    else:
        path = str(prompts) if isinstance(prompts, str | Path) else _stored(prompts, expanded(run_dir))
        asked = {"n": n, "path": path}
    own = {**_models(base, donor), "run_dir": str(run_dir), "prompts": asked}
    found = run(_settings(SearchSettings, settings, **own), force)
    chosen = found.outcome.selection
    assert chosen.chosen is not None, "a search that chooses nothing raises"
    stored = found.run.read(found.run.selection) or {}  # of several methods or donors it knows of the whole
    of_whole = stored.get("weights", {}), stored.get("method", "")
    return SearchResult(chosen.chosen, stored["verdict"], chosen.scores, found.checkpoints[0], found.outcome, *of_whole)


def sweep(pairs: Mapping[str, Any], *, run_dir: str | Path, force: bool = False, **settings: Any) -> list[RankedSearch]:
    """Searches for many pairs and ranks them: as `adamms sweep`.

    Args:
        pairs: name -> a pair's YAML file, or its settings: `{"base": ..., "donor": ...}`.
    """
    from adamms.commands.settings import SweepSettings
    from adamms.commands.sweep import sweep as run

    given = {name: str(pair) if isinstance(pair, str | Path) else dict(pair) for name, pair in pairs.items()}
    return run(_settings(SweepSettings, settings, run_dir=str(run_dir), sweep={"pairs": given}), force)


def evaluate(
    base: str | Path, donor: Donor, *, labelled: str | Path, run_dir: str | Path, **settings: Any
) -> dict[str, Judgement]:
    """Judges the search in `run_dir` by labelled prompts: as `adamms evaluate`, with the search's other settings; its
    prompts are known from there.

    Args:
        labelled: JSONL with `prompt`, `answer`, and perhaps `images`.
    """
    from adamms.commands.evaluate import evaluate as run
    from adamms.commands.settings import EvaluateSettings

    own = {**_models(base, donor), "run_dir": str(run_dir), "labelled": {"path": str(labelled)}}
    return run(_settings(EvaluateSettings, settings, **own))


def select(responses: str | Path, metric: str | None = None, **options: Any) -> Selection | MethodSelection:
    """Chooses from answers, however they were made: as `adamms select`."""
    from adamms.commands.select import select as run

    return run(Path(responses), metric, **options)


def _settings(kind: type[Any], given: Mapping[str, Any], **own: Any) -> Any:
    from adamms.config import load_settings

    quiet = [{"tracking": {"enabled": False}}] if "tracking" in {field.name for field in fields(kind)} else []
    return load_settings(kind, None, [], *quiet, own, given)


def _models(base: str | Path, donor: Donor) -> dict[str, Any]:
    if isinstance(donor, str | Path):
        return {"base": str(base), "donor": str(donor)}
    return {"base": str(base), "donors": [str(one) for one in donor]}


def _stored(prompts: Sequence[str | Mapping[str, Any]], run_dir: Path) -> str:
    """Prompts as a file in the run folder, so that the search can go on later; pictures are found from there too.

    Raises:
        UserError: an address in them holds a secret, which no run folder keeps.
    """
    from adamms.addresses import masked
    from adamms.prompts.sources import IMAGE_FIELDS
    from adamms.support.files import write_whole

    rows = [{"prompt": one} if isinstance(one, str) else dict(one) for one in prompts]
    for row in rows:
        row |= {name: _absolute(row[name]) for name in IMAGE_FIELDS if name in row}
    for number, row in enumerate(rows):
        if json.dumps(masked(row)) != json.dumps(row):
            raise UserError(
                f"prompts[{number}]: an address in it holds a secret, which run_dir keeps no copy of; "
                "give the prompts as a file of yours"
            )
    file = run_dir / "asked.jsonl"
    write_whole(file, "".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def _absolute(images: Any) -> Any:
    """One image's reference or several, in which local paths are absolute."""
    from adamms.support.files import expanded

    if isinstance(images, list | tuple):
        return [_absolute(image) for image in images]
    if isinstance(images, Mapping):
        return {name: _absolute(value) if name == "path" else value for name, value in images.items()}
    local = isinstance(images, Path) or (
        isinstance(images, str) and "://" not in images and not images.startswith("data:")
    )
    return str(expanded(images).absolute()) if local else images
