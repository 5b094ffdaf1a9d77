"""The model card of a winner that is published: the one beside the checkpoint, and how it was chosen."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.reporting.story import last_round, read_judgements
from adamms.reporting.tables import CHANGES, markdown_row
from adamms.runs.run_folder import RunFolder
from adamms.runs.values import format_value
from adamms.selecting.criteria import get_criterion

BEFORE = "## Licence"


def published_card(folder: Path, run: RunFolder | None, repository: str) -> str:
    """The card of the checkpoint in `folder` as the Hub is to show it.

    Args:
        run: the search that chose it; None for a merge by itself.

    Raises:
        UserError: the checkpoint has no card.
    """
    file = folder / "README.md"
    if not file.is_file():
        raise UserError(f"{file}: not found; a checkpoint is pushed with its card, write the checkpoint again")
    card = file.read_text(encoding="utf-8").replace('"MODEL"', f'"{repository}"')
    card = card.replace("serve MODEL", f"serve {repository}")
    if run is None:
        return card
    with run.understood():
        selection: dict[str, Any] = run.read(run.selection) or {}
        task = folder.name if folder != run.merged else ""
        one = selection.get("tasks", {}).get(task, selection)
        chosen = "\n".join(_how_chosen(one, accuracy_of(run, task))) if one.get("alpha") is not None else ""
    head, mark, rest = card.rpartition(BEFORE)
    return f"{head}{chosen}\n{mark}{rest}" if mark and chosen else card


def _how_chosen(selection: Mapping[str, Any], accuracy: Mapping[str, float]) -> Iterator[str]:
    coefficient, value = selection["coefficient"], format_value(selection["alpha"])
    title = get_criterion(selection["metric"]).title
    yield "## How it was chosen"
    yield ""
    method = f" of {selection['method']}" if "method" in selection else ""
    labels = f"with {selection['labels']['prompts']} labels" if "labels" in selection else "without labels"
    of = f" of {selection['donor']}" if "weights" in selection else method
    yield (
        f"Of {len(selection['scores'])} values of {coefficient}{of}{last_round(selection)}, {value} was chosen "
        f"{labels}, from answers to {selection['prompts']['used']} prompts: {selection['verdict']}."
    )
    yield from (f"\n- **Warning:** {warning}" for warning in selection["warnings"])
    if "weights" in selection:
        yield from _weights(selection)
    labelled = ["% correct"] if accuracy else []
    yield ""
    yield markdown_row([coefficient, title, *CHANGES, "chosen in resamples", *labelled])
    yield markdown_row(["---"] * (5 + len(labelled)))
    for name, score in selection["scores"].items():
        share = selection["bootstrap"].get(name)
        cells = [f"**{name}**" if name == value else name]
        cells += [_number(number) for number in (score, selection["left"][name], selection["right"][name])]
        cells += ["–" if share is None else f"{share:.0%}"]
        yield markdown_row(cells + ([_number(accuracy.get(name))] if accuracy else []))
    yield ""


def _weights(selection: Mapping[str, Any]) -> Iterator[str]:
    """Every donor's weight, and what leaving it out changes."""
    yield ""
    yield (
        f"The donors' weights were searched one after the other, along {len(selection['path'])} lines, "
        f"{selection['candidates']} sets of weights in all:"
    )
    yield ""
    lost = ["points of accuracy lost without it"] if "labels" in selection else []
    yield markdown_row(["donor", "weight", "answers that change without it", *lost])
    yield markdown_row(["---"] * (3 + len(lost)))
    for name, weight in selection["weights"].items():
        left = selection["without"].get(name, {})
        changed = left.get("changed")
        cells = [name.replace("|", " "), format_value(weight), "–" if changed is None else f"{changed:.0%}"]
        yield markdown_row(cells + ([_number(left.get("lost"))] if lost else []))


def accuracy_of(run: RunFolder, task: str) -> dict[str, float]:
    """Where what is published was judged by labels: candidate -> accuracy. A search of one task was judged by any one;
    of several, each is by its own labels only, and the choice for all by those of all."""
    found, several = read_judgements(run), "tasks" in (run.read(run.selection) or {})
    name = task if several or len(found) != 1 else next(iter(found))
    return dict(found[name]["accuracy"]) if name in found else {}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
