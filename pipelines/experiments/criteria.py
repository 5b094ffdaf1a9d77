"""Which unlabelled criterion chooses best: regret of each over many pairs and tasks.

    python -m pipelines.experiments.criteria --config conf/criteria.yaml [criteria=[either,sum]] [key=value ...]

Pairs and answers that `reproduce.py` has left in the same folder are not made again.
"""

from __future__ import annotations

from pathlib import Path

from adamms.cli import program
from adamms.support.ray_session import ray_session
from pipelines.experiments.cases import Case, answer_cases, make_pair
from pipelines.experiments.regret import regrets_markdown, regrets_of
from pipelines.experiments.settings import ReproduceSettings


def run(settings: ReproduceSettings, force: bool) -> None:
    cases: list[Case] = []
    with ray_session(settings.ray.address):
        for seed in settings.seeds:
            cases += answer_cases(settings, make_pair(Path(settings.folder), seed), seed)
    table = regrets_markdown(regrets_of(cases, settings.criteria))
    Path(settings.folder, "criteria.md").write_text(table, encoding="utf-8")
    print(table)


main = program(ReproduceSettings, run, __doc__)

if __name__ == "__main__":
    main()
