"""Which unlabelled criterion chooses best: regret of each over the pairs, tasks and seeds of `make reproduce`.

    python pipelines/compare_criteria.py --config conf/reproduce.yaml [criteria=[either,sum]] [key=value ...]

Answers that `pipelines/reproduce.py` has stored are not given again; then nothing here needs an engine.
"""

from __future__ import annotations

from pathlib import Path

from adamms.cli import pipeline
from adamms.config import ReproduceSettings
from adamms.errors import UserError
from adamms.searching.cases import answer_cases
from adamms.searching.criteria import compare, comparison_markdown


@pipeline
def main(settings: ReproduceSettings, force: bool) -> None:
    pairs = {seed: Path(settings.folder) / f"pair-{seed}" for seed in settings.seeds}
    absent = [folder for folder in pairs.values() if not folder.is_dir()]
    if absent:
        raise UserError(f"{absent[0]}: not found; run pipelines/reproduce.py with the same settings first")
    cases = [case for seed, folder in pairs.items() for case in answer_cases(settings, folder, seed)]
    table = comparison_markdown(compare(cases, settings.criteria))
    Path(settings.folder, "criteria.md").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
