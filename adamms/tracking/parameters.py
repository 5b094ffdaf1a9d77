"""What the dashboard shows of a search's settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adamms.mapping.plan import MergePlan

if TYPE_CHECKING:
    from adamms.config import SearchSettings


def search_parameters(settings: SearchSettings, plan: MergePlan) -> dict[str, str]:
    """The params of a search's run and of each of its candidates."""
    return {
        "base": settings.base,
        "donor": settings.donor,
        "method": settings.merging.method,
        "metric": settings.searching.metric,
        "task": ", ".join(settings.prompts.tasks) or Path(settings.prompts.path).stem,
        "coefficient": settings.searching.coefficient,
        "stop": settings.searching.stop.value,
        "engine": settings.engine.kind.value,
        "plan": plan.fingerprint,
        "run_dir": str(Path(settings.run_dir).resolve()),
    }
