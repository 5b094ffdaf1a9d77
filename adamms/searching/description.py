"""What a run is called and which settings describe it, as `search.json` keeps them for the dashboard and the report."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

from adamms.addresses import mask, short_name
from adamms.config import settings_yaml
from adamms.mapping.plan import MergePlan, ModelIdentity
from adamms.searching.config import StudySettings


def search_parameters(settings: StudySettings, plan: MergePlan) -> dict[str, str]:
    """The settings that one compares searches by: params of a search's MLflow run and of each of its candidates.

    Of a search over several methods all of these are named, and no plan, since methods may have different ones.
    """
    methods = ", ".join(settings.searching.methods)
    return {
        "base": settings.base,
        "donor": ", ".join(settings.all_donors),
        "base_revision": _revision(settings.base, plan.base),
        "donor_revision": ", ".join(map(_revision, settings.all_donors, plan.donors)),
        "base_architecture": plan.base.architecture,
        "donor_architecture": ", ".join(donor.architecture for donor in plan.donors),
        **{f"donor_{number}": donor for number, donor in enumerate(settings.donors, 1)},
        **_weights(settings),
        "method": methods or settings.merging.method,
        "metric": settings.searching.metric,
        "task": ", ".join(settings.prompts.tasks) or short_name(settings.prompts.path),
        "coefficient": settings.searching.coefficient,
        "stop": settings.searching.stop,
        "engine": settings.engine.kind,
        "dtype": settings.engine.dtype,
        "max_tokens": str(settings.engine.max_tokens),
        "prompts": str(settings.prompts.n),
        "seed": str(settings.prompts.seed),
        **({} if methods else {"plan": plan.fingerprint}),
        "run_dir": str(Path(settings.run_dir).resolve()),
    }


def _weights(settings: StudySettings) -> dict[str, str]:
    """Along the weight of one of several donors: its number, and the others' weights."""
    own = settings.searching.donor
    if not own:
        return {}
    given = str(settings.searching.alpha).split(",")
    others = {f"alpha_{i}": weight.strip() for i, weight in enumerate(given, 1) if i != own}
    return {"searched_donor": str(own), **others}


def search_name(params: dict[str, str]) -> str:
    """`DONOR into BASE, TASK`, by what `search_parameters` gives; several donors as `A + B`."""
    task = f", {params['task']}" if params.get("task") else ""
    donors = list(map(short_name, params["donor"].split(", ")))
    along = f", along {donors[int(params['searched_donor']) - 1]}" if "searched_donor" in params else ""
    return f"{' + '.join(donors)} into {short_name(params['base'])}{task}{along}"


def settings_text(settings: Any) -> tuple[str, str]:
    """The command that is running, as a person would type it, and all settings as YAML.

    Secrets in addresses are left out before quotes are put around them.
    """
    program, *arguments = sys.argv
    installed = Path(program).stem == "adamms" or Path(program).parts[-2:] == ("adamms", "__main__.py")
    typed = ["adamms"] if installed else ["python", mask(program)]
    return shlex.join([*typed, *map(mask, arguments)]), settings_yaml(settings)


def _revision(given: str, model: ModelIdentity) -> str:
    """The commit of a Hub snapshot, the revision that was asked for, or else a digest of the checkpoint itself."""
    commit = re.search(r"/snapshots/([0-9a-f]{40})", model.location)
    asked = given.rpartition("@")[2] if "@" in given and "://" not in given and "+" not in given else ""
    return commit.group(1) if commit else asked or model.digest
