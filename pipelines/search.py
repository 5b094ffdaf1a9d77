"""Search alpha for one pair of models and unlabelled prompts of one task or several, and export the winner.

    python pipelines/search.py --config conf/demo.yaml [key=value ...]
    ray job submit --working-dir . -- python pipelines/search.py --config conf/demo.yaml [key=value ...]

The same command run again goes on where it stopped: no finished (alpha, prompt) is answered twice.
"""

from __future__ import annotations

from adamms.cli import pipeline
from adamms.commands.settings import SearchSettings
from adamms.reporting.tables import print_outcome
from adamms.searching.answering import Engines
from adamms.searching.budget import Budget
from adamms.searching.search import prepare, run_search
from adamms.support.ray_session import warn_if_temporary


@pipeline
def main(settings: SearchSettings, force: bool) -> None:
    search = prepare(settings, force)  # everything the user can mend is found before anything is written
    warn_if_temporary(search.run.folder)
    budget = Budget(settings.budget)
    with Engines(settings.ray, budget) as engines:
        found = run_search(search, engines, budget)
    print_outcome(found.outcome, found.checkpoints, settings.tracking)
    print(f"report:     {search.run.folder / 'report.html'}")


if __name__ == "__main__":
    main()
