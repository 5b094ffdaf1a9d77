"""The paper's claim on the tiny pair: for several seeds and tasks, the alpha chosen without labels beside the labels.

    python -m pipelines.experiments.reproduce --config conf/reproduce.yaml [key=value ...]      (make reproduce)

For every seed the pair is trained (minutes on one core) unless it is there; then all tasks are searched and judged
with one engine, and the baselines with another. Prints the tables that the README shows, in Markdown.
"""

from pathlib import Path

from adamms.cli import program
from adamms.errors import UserError
from adamms.judging.judgement import Judgement, judge
from adamms.reporting.tables import Trust, judgement_markdown, methods_markdown
from adamms.selecting.selection import Selection
from adamms.support.ray_session import ray_session
from pipelines.experiments.cases import answer_cases, make_pair, noise_of
from pipelines.experiments.choices import selection_of
from pipelines.experiments.settings import ReproduceSettings

RESAMPLES = 1000


def run(settings: ReproduceSettings, force: bool) -> None:
    judgements: dict[tuple[int, str], Judgement] = {}
    trust: dict[tuple[int, str], Trust] = {}
    with ray_session(settings.ray.address):
        for seed in settings.seeds:
            pair = make_pair(Path(settings.folder), f"complementary-{seed}")
            cases = list(answer_cases(settings, pair, [settings.searching.metric]))
            selections = {
                case.task: selection_of(case, settings.searching.metric, bootstrap=RESAMPLES) for case in cases
            }
            alphas = {task: chosen_alpha(selection, task) for task, selection in selections.items()}
            noise = noise_of(settings, pair, alphas)
            for case in cases:
                alpha, selection = alphas[case.task], selections[case.task]
                judgements[seed, case.task] = judge(
                    alpha, selection.scores, case.judged, case.labels, case.judged_donor, case.judged_baselines
                )
                trust[seed, case.task] = Trust(selection.bootstrap[alpha], noise[case.task])
    tables = judgement_markdown(judgements, trust) + "\n" + methods_markdown(judgements)
    Path(settings.folder, "table.md").write_text(tables, encoding="utf-8")
    print(tables)


def chosen_alpha(selection: Selection, task: str) -> float:
    """Each task gets its own alpha (paper, 3.3).

    Raises:
        UserError: nothing could be chosen.
    """
    if selection.chosen is None:
        raise UserError(f"{task}: {selection.verdict}")
    return selection.chosen


main = program(ReproduceSettings, run, __doc__)

if __name__ == "__main__":
    main()
