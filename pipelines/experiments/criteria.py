"""Which way of choosing chooses best: regret of each over many pairs, on narrow tasks and on mixtures of them.

    python -m pipelines.experiments.criteria --config conf/criteria.yaml [criteria=[either,sum]] [key=value ...]

The regret of a choice is how many points of accuracy it is behind the best candidate. Pairs, answers and results that
are there from an earlier call are not made again.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adamms.cli import program
from adamms.support.files import write_json
from adamms.support.ray_session import ray_session
from pipelines.experiments.cases import answer_cases, make_pair
from pipelines.experiments.choices import Among, Choice, Judged, judge_case
from pipelines.experiments.mixtures import mixtures_of
from pipelines.experiments.regrets import (
    contradictions_markdown,
    methods_markdown,
    pairs_markdown,
    regrets_markdown,
    warnings_markdown,
)
from pipelines.experiments.settings import CriteriaSettings


def run(settings: CriteriaSettings, force: bool) -> None:
    """Prints the tables, and writes them beside the results.

    Args:
        force: results that are there are made again.
    """
    results, cases = Path(settings.results), list[Judged]()
    results.mkdir(parents=True, exist_ok=True)
    with ray_session(settings.ray.address):
        for pair in settings.pairs:
            file = results / f"{pair}.json"
            if force or not file.is_file():
                write_json(file, [asdict(one) for one in judge_pair(settings, pair)])
            cases += read_results(file)
    first, last = settings.criteria[0], settings.criteria[-1]
    tables = [pairs_markdown(cases), regrets_markdown(cases, first), warnings_markdown(cases, settings.criteria)]
    tables.append(contradictions_markdown(cases, last))
    tables += [methods_markdown(cases)] if all(case.methods for case in cases) else []
    (results / "criteria.md").write_text("\n".join(tables), encoding="utf-8")
    print("\n".join(tables))


def judge_pair(settings: CriteriaSettings, name: str) -> Iterator[Judged]:
    """All tasks of one pair, and mixtures of them; the pair is trained unless it is there."""
    pair = make_pair(Path(settings.folder), name)
    cases = list(answer_cases(settings, pair, settings.criteria, settings.spare, settings.methods))
    yield from (judge_case(case, settings, mixed=False) for case in cases)
    yield from (judge_case(case, settings, mixed=True) for case in mixtures_of(cases, settings.mixtures))


def read_results(file: Path) -> list[Judged]:
    """What `judge_pair` has found before."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [_judged(**row) for row in rows]


def _judged(choices: Mapping[str, Any], methods: Mapping[str, Any] | None = None, **row: Any) -> Judged:
    found = {name: Choice(**choice) for name, choice in choices.items()}
    return Judged(**row, choices=found, methods=Among(**methods) if methods else None)


main = program(CriteriaSettings, run, __doc__)

if __name__ == "__main__":
    main()
