"""Judge a finished search by labelled prompts: every alpha, the donor, the oracle, and the regret of the choice.

    python pipelines/evaluate.py --config conf/demo.yaml labelled.path=FILE.jsonl [key=value ...]

Labels are read here and nowhere else; the search never sees them.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from adamms.checkpoint.checkpoint import read_json
from adamms.cli import pipeline
from adamms.config import EvaluateSettings
from adamms.errors import UserError
from adamms.generation.prompts import load_prompts
from adamms.mapping import plan_pair
from adamms.merging.recipe import Recipe
from adamms.ray_session import ray_session
from adamms.searching.alphas import check_alphas
from adamms.searching.judging import judge, read_labels
from adamms.searching.labelled import answer_as_donor, answer_labelled
from adamms.searching.run_folder import RunFolder, answer_identity
from adamms.searching.table import judgement_table
from adamms.tracking import SearchTracker, Story, search_parameters, write_report


@pipeline
def main(settings: EvaluateSettings, force: bool) -> None:
    alphas = check_alphas(settings.searching.alphas)
    recipe = Recipe.of(settings.merging, alpha=alphas[0])
    prompts = load_prompts(settings.labelled)
    labels = read_labels(Path(settings.labelled.path), prompts)
    pair = plan_pair(settings)
    search = RunFolder(Path(settings.run_dir), answer_identity(pair.plan, recipe, settings.engine))
    if not search.selection_file.is_file():
        raise UserError(f"{search.selection_file}: not found; run pipelines/search.py with the same settings first")
    selection = read_json(search.selection_file)

    with ray_session(settings.ray.address):
        candidates = answer_labelled(settings, pair, recipe, alphas, prompts)
        donor = answer_as_donor(settings, pair, prompts)
    scores = {float(alpha): score for alpha, score in selection["scores"].items()}
    judgement = judge(selection["alpha"], scores, candidates, labels, donor)
    search.write_json(search.evaluation_file, judgement.to_json())
    story = Story.of(search, pair.plan, load_prompts(settings.prompts))
    params = search_parameters(settings, pair.plan)
    with SearchTracker(settings.tracking, search.search_key, params, search.folder) as tracker:
        tracker.log_scores({alpha: {"accuracy": value} for alpha, value in judgement.accuracy.items()})
        tracker.log_metrics({"regret": judgement.regret})
        page, *figures = write_report(story, search.folder)
        tracker.log_files([page, search.evaluation_file])
        tracker.log_files(figures, "figures")
    Console().print(judgement_table({Path(settings.labelled.path).stem: judgement}))


if __name__ == "__main__":
    main()
