"""The paper's claim on the tiny pair: for several seeds and tasks, the alpha chosen without labels beside the labels.

    python pipelines/reproduce.py --config conf/reproduce.yaml [key=value ...]      (make reproduce)

For every seed the pair is trained (minutes on one core) unless it is there; then all tasks are searched and judged
with one engine, and the baselines with another. Prints the tables that the README shows, in Markdown.
"""

from __future__ import annotations

from pathlib import Path

from adamms.cli import pipeline
from adamms.config import ReproduceSettings
from adamms.errors import UserError
from adamms.ray_session import ray_session
from adamms.searching.cases import Case, answer_cases, make_pair
from adamms.searching.judging import Judgement, judge
from adamms.searching.selection import select
from adamms.searching.table import judgement_markdown, methods_markdown

TRAINING = Path(__file__).with_name("demo_pair.py")


@pipeline
def main(settings: ReproduceSettings, force: bool) -> None:
    judgements: dict[tuple[int, str], Judgement] = {}
    with ray_session(settings.ray.address):
        for seed in settings.seeds:
            for case in answer_cases(settings, make_pair(Path(settings.folder), seed, TRAINING), seed):
                judgements[seed, case.task] = search_and_judge(case, settings.searching.metric)
    tables = judgement_markdown(judgements) + "\n" + methods_markdown(judgements)
    Path(settings.folder, "table.md").write_text(tables, encoding="utf-8")
    print(tables)


def search_and_judge(case: Case, metric: str) -> Judgement:
    """Chooses without labels, then looks at them; each task gets its own alpha (paper, 3.3)."""
    selection = select(case.responses, metric, prompts=case.questions)
    if selection.alpha is None:
        raise UserError(f"{case.task}: {selection.verdict}")
    return judge(selection.alpha, selection.scores, case.judged, case.labels, case.judged_donor, case.judged_baselines)


if __name__ == "__main__":
    main()
