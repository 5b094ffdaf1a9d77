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
from adamms.searching.alphas import Line, check_alphas
from adamms.searching.judging import judge, read_labels
from adamms.searching.labelled import answer_as_donor, answer_labelled
from adamms.searching.run_folder import RunFolder, answer_identity
from adamms.searching.table import judgement_table
from adamms.tracking import SearchTracker, search_parameters


@pipeline
def main(settings: EvaluateSettings, force: bool) -> None:
    line = Line(Recipe.of(settings.merging, settings.searching.alpha), settings.searching.coefficient)
    alphas = check_alphas(settings.searching.alphas, line)
    prompts = load_prompts(settings.labelled)
    labels = read_labels(Path(settings.labelled.path), prompts)
    pair = plan_pair(settings)
    search = RunFolder(Path(settings.run_dir), answer_identity(pair.plan, line, settings.engine))
    if not search.selection_file.is_file():
        raise UserError(f"{search.selection_file}: not found; run pipelines/search.py with the same settings first")
    selection = read_json(search.selection_file)

    with ray_session(settings.ray.address):
        candidates = answer_labelled(settings, pair, line, alphas, prompts)
        donor = answer_as_donor(settings, pair, prompts)
    scores = {float(alpha): score for alpha, score in selection["scores"].items()}
    judgement = judge(selection["alpha"], scores, candidates, labels, donor)
    search.write_json(search.folder / "evaluation.json", judgement.to_json())
    with SearchTracker(settings.tracking, search.search_key, search_parameters(settings, pair.plan)) as tracker:
        tracker.log_scores({alpha: {"accuracy": value} for alpha, value in judgement.accuracy.items()})
    Console().print(judgement_table({Path(settings.labelled.path).stem: judgement}))


if __name__ == "__main__":
    main()
