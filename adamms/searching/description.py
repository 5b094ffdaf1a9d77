"""What a run is called and which settings describe it, as `search.json` keeps them for the dashboard and the report."""

import re
import shlex
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from adamms.config import settings_yaml
from adamms.mapping.plan import MergePlan, ModelIdentity
from adamms.searching.config import StudySettings
from adamms.support.addresses import without_password


def search_parameters(settings: StudySettings, plan: MergePlan) -> dict[str, str]:
    """The settings that one compares searches by: params of a search's MLflow run and of each of its candidates."""
    return {
        "base": settings.base,
        "donor": settings.donor,
        "base_revision": _revision(settings.base, plan.base),
        "donor_revision": _revision(settings.donor, plan.donor),
        "base_architecture": plan.base.architecture,
        "donor_architecture": plan.donor.architecture,
        "method": settings.merging.method,
        "metric": settings.searching.metric,
        "task": ", ".join(settings.prompts.tasks) or task_name(settings.prompts.path),
        "coefficient": settings.searching.coefficient,
        "stop": settings.searching.stop,
        "engine": settings.engine.kind,
        "dtype": settings.engine.dtype,
        "max_tokens": str(settings.engine.max_tokens),
        "prompts": str(settings.prompts.n),
        "seed": str(settings.prompts.seed),
        "plan": plan.fingerprint,
        "run_dir": str(Path(settings.run_dir).resolve()),
    }


def search_name(params: dict[str, str]) -> str:
    """`DONOR into BASE, TASK`, by what `search_parameters` gives."""
    task = f", {params['task']}" if params.get("task") else ""
    return f"{short_name(params['donor'])} into {short_name(params['base'])}{task}"


def settings_text(settings: Any) -> tuple[str, str]:
    """The command that is running, as a person would type it, and all settings as YAML.

    Passwords in addresses are left out: the texts go into the report, which people mail.
    """
    return without_password(shlex.join(["python", *sys.argv])), without_password(settings_yaml(settings))


def task_name(prompts: str) -> str:
    """What a prompt set is called: its file's or data set's name."""
    return PurePosixPath(prompts.split("@", 1)[0].rstrip("/")).stem


def short_name(model: str) -> str:
    """The last part of a folder, Hub id (its revision left out) or file name."""
    path = PurePosixPath(model.split("@", 1)[0].rstrip("/"))
    return path.stem if path.suffix in (".jsonl", ".json", ".parquet") else path.name


def _revision(given: str, model: ModelIdentity) -> str:
    """The commit of a Hub snapshot, the revision that was asked for, or else a digest of the checkpoint itself."""
    commit = re.search(r"/snapshots/([0-9a-f]{40})", model.location)
    asked = given.rpartition("@")[2] if "@" in given else ""
    return commit.group(1) if commit else asked or model.digest
