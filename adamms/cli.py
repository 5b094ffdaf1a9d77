"""The `adamms` command: each subcommand reads its settings, calls one function of `adamms.commands`, and prints."""

from __future__ import annotations

import gc
import json
import signal
import sys
import traceback
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from adamms.addresses import mask, masked
from adamms.errors import FULL, UNUSABLE, UserError
from adamms.support.logs import LogConfig, configure_logs
from adamms.version import __version__

INTERRUPTED = 130
"""The exit status after Ctrl-C, into which Typer turns it."""

if TYPE_CHECKING:
    from adamms.commands.settings import EvaluateSettings, SearchSettings, SweepSettings

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Merge two multimodal language models that grew from the same language model, and find alpha without labels. "
    "Every command with settings lists them with --settings.",
)

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[key=value]...", help="Settings, e.g. mapping.duplicates=keep")
]
_BASE = typer.Argument(metavar="BASE", help="Folder, Hub id[@revision] or MODEL+ADAPTER; its architecture is kept")
_DONOR = typer.Argument(metavar="DONOR", help="Folder, Hub id[@revision] or MODEL+ADAPTER; merged into the base")
Base = Annotated[str, _BASE]
Rest = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DONOR]... [key=value]...", help="Further donors; settings, e.g. mapping.duplicates=keep"),
]
Donor = Annotated[str, _DONOR]
BaseOrNone = Annotated[str | None, _BASE]
DonorOrNone = Annotated[str | None, _DONOR]
Config = Annotated[Path | None, typer.Option(help="YAML file of settings; `demo` is shipped")]
Endpoints = Literal["auto", "exclude", "one_sided"]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON")]
Force = Annotated[bool, typer.Option("--force", help="Set results that are in the way aside, or replace them")]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Print all settings as they would be used, and stop")]
ListSettings = Annotated[bool, typer.Option("--settings", help="List all settings with defaults and what they do")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what it would read, ask, need and write, and stop; nothing is started")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and stop")
    ] = False,
) -> None:
    """See `app`."""


@app.command("map")
def map_models(base: Base, donor: Donor, rest: Rest = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Show which donor weights would merge into which base weights, and why the rest is kept."""
    from adamms.commands.map import map_pair
    from adamms.commands.settings import MapSettings
    from adamms.mapping.table import print_plan

    models, overrides = _models(base, donor, rest)
    plan = map_pair(_load(MapSettings, None, overrides, models))
    if as_json:
        print(json.dumps(masked(plan.to_dict())))
    else:
        print_plan(plan)


@app.command()
def merge(
    base: BaseOrNone = None,
    donor: DonorOrNone = None,
    *,
    output: Annotated[Path, typer.Option(help="Folder to write; it appears complete or not at all")],
    alpha: Annotated[
        str | None,
        typer.Option(help="The donor's weight, 0 to 1, or each donor's: 0.3,0.2; metagpt and model_stock find it"),
    ] = None,
    rest: Rest = None,
    method: Annotated[str | None, typer.Option(help="linear (default), slerp, ties, ...: see merging.method")] = None,
    ancestor: Annotated[
        str | None, typer.Option(help="The language model both grew from: folder or Hub id; for task-vector methods")
    ] = None,
    mergekit: Annotated[
        Path | None, typer.Option(help="A recipe of mergekit, in place of BASE, DONOR, alpha, method and ancestor")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Load the result and ask it one question first")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output that AdaMMS wrote")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would read, need and write, and stop")
    ] = False,
    debug: Debug = False,
) -> None:
    """Merge DONOR (or several) into BASE with one alpha each and write a complete checkpoint."""
    from adamms.commands.merge import merge as run
    from adamms.merging.config import MergeSettings
    from adamms.merging.recipe import parse_alpha

    given: dict[str, Any]
    weights, foreign = parse_alpha(alpha), None
    if mergekit is not None:
        from adamms.merging.mergekit import read_mergekit

        overrides = [text for text in (base, donor, *(rest or [])) if text is not None]  # the names are in the file
        foreign = read_mergekit(mergekit)
        given, weights = foreign.settings(), foreign.alpha if weights is None else weights
    elif base is None or donor is None:
        raise UserError("adamms merge: expected BASE and DONOR, or --mergekit FILE")
    else:
        given, overrides = _models(base, donor, rest)
    given |= {"ancestor": ancestor} if ancestor is not None else {}
    given |= {"merging": {"method": method}} if method is not None else {}
    settings = _load(MergeSettings, None, overrides, given)
    if foreign is not None:
        foreign.check_dtype(settings.base)
    if dry_run:
        from adamms.commands.merge import rehearse
        from adamms.reporting.tables import print_pairs

        print_pairs(rehearse(settings, weights, output, force))
        return
    print(run(settings, weights, output, smoke=smoke, force=force))


def _models(base: str, donor: str, rest: list[str] | None) -> tuple[dict[str, Any], list[str]]:
    """The models as settings, and what else was given: of the rest, all before the first key=value are donors."""
    further = list(takewhile(lambda text: "=" not in text or Path(text).exists(), rest or []))
    donors = {"donors": [donor, *further]} if further else {"donor": donor}
    return {"base": base, **donors}, (rest or [])[len(further) :]


def settings_command(
    kind: Callable[[], type[Any]],
    run: Callable[[Any, bool], None],
    rehearse: Callable[[Any], None] | None = None,
) -> Callable[..., None]:
    """A command that takes settings only: `--config FILE [key=value ...]`.

    Args:
        kind: gives the class of its settings, which have `log`; asked only when the command runs.
        run: gets the settings, and whether `--force` was given.
        rehearse: does nothing but say what `run` would do (`--dry-run`).
    """

    def command(
        config: Config = None,
        overrides: Overrides = None,
        force: Force = False,
        dry_run: DryRun = False,
        print_config: PrintConfig = False,
        settings: ListSettings = False,
        debug: Debug = False,
    ) -> None:
        if settings:
            _print_settings(kind())
            return
        given = _load(kind(), config, overrides)
        if print_config:
            from adamms.config import settings_yaml

            print(settings_yaml(given), end="")
            return
        configure_logs(given.log)
        if dry_run:
            if rehearse is None:
                raise UserError(
                    "--dry-run: only adamms search, sweep and merge have one; --print-config shows settings"
                )
            rehearse(given)
            return
        signal.signal(signal.SIGTERM, _interrupt)
        run(given, force)

    return command


def _rehearse_search(settings: SearchSettings) -> None:
    from adamms.support.progress import doing

    with doing("loading torch and the engines"):
        from adamms.reporting.tables import print_pairs
        from adamms.searching.rehearsal import rehearse_search
    print_pairs(rehearse_search(settings))


def _rehearse_sweep(settings: SweepSettings) -> None:
    from adamms.support.progress import doing

    with doing("loading torch and the engines"):
        from adamms.commands.sweep import rehearse_sweep
        from adamms.reporting.tables import print_pairs
    print_pairs(rehearse_sweep(settings))


def _search(settings: SearchSettings, force: bool) -> None:
    from adamms.support.progress import doing

    with doing("loading torch and the engines"):
        from adamms.commands.search import search
        from adamms.reporting.tables import print_methods, print_outcome, print_weights
        from adamms.searching.weights_settings import searches_weights
        from adamms.tracking import dashboard_of

    found = search(settings, force)
    if searches_weights(settings):
        print_weights(found.run.read(found.run.selection))
    elif settings.searching.methods:
        print_methods(found.run.read(found.run.selection))
    print_outcome(found.outcome, found.checkpoints, dashboard_of(found.run) if settings.tracking.enabled else [])
    print(f"report:     {found.run.report}")


def _sweep(settings: SweepSettings, force: bool) -> None:
    from adamms.support.progress import doing

    with doing("loading torch and the engines"):
        from adamms.commands.sweep import raise_failures, sweep
        from adamms.reporting.ranking import print_ranking
        from adamms.searching.metric import metric_of

    rows = sweep(settings, force)
    print_ranking(rows, metric_of(settings))
    print(f"ranking:    {Path(settings.run_dir) / 'sweep.json'}")
    raise_failures(rows)


def _evaluate(settings: EvaluateSettings, force: bool) -> None:
    from adamms.support.progress import doing

    with doing("loading torch and the engines"):
        from adamms.commands.evaluate import evaluate
        from adamms.reporting.tables import print_judgements
        from adamms.searching.coefficient import SearchedCoefficient

    if judgements := evaluate(settings):  # lmms-eval alone gives none
        with_base = SearchedCoefficient.of(settings.merging, settings.searching).with_base
        print_judgements(judgements, with_base, with_methods=bool(settings.baselines))


def _kinds() -> Any:
    from adamms.commands import settings

    return settings


_TEXTS = {
    "search": """Search alpha for one pair and unlabelled prompts of one task or several, and export the winner.

    The same command run again goes on where it stopped: no finished (alpha, prompt) is answered twice.""",
    "sweep": """Search for many pairs, with one method or several, over the same tasks; ends with one ranked table.

    Pairs run side by side within the cluster; searches with the same base share engines; one that fails leaves the
    others alone. The same command run again does what is missing.""",
    "evaluate": """Judge a finished search by labelled prompts (labelled.path=FILE.jsonl), or by lmms-eval.

    Shows every alpha, the donor, the best alpha as the labels see it, and how far the choice stays behind it. An
    answer is right if it is the label to the letter, or as searching.match says. lmms_eval.tasks=[...] has lmms-eval
    evaluate the winner.""",
}
app.command("search", help=_TEXTS["search"])(
    settings_command(lambda: _kinds().SearchSettings, _search, _rehearse_search)
)
app.command("sweep", help=_TEXTS["sweep"])(settings_command(lambda: _kinds().SweepSettings, _sweep, _rehearse_sweep))
app.command("evaluate", help=_TEXTS["evaluate"])(settings_command(lambda: _kinds().EvaluateSettings, _evaluate))


@app.command()
def select(
    responses: Annotated[Path, typer.Argument(metavar="RESPONSES", help="JSONL file, folder of them, or RUN_DIR")],
    metric: Annotated[
        str | None,
        typer.Option(
            help="either, sum, edit, plurality, logprob, donor, parents, kl, embedding[:MODEL]; a+b: mean; if not "
            "given, that of the search, else either"
        ),
    ] = None,
    endpoints: Annotated[
        Endpoints | None,
        typer.Option(help="Whether the smallest and largest alpha may win; if not given, as in metric"),
    ] = None,
    bootstrap: Annotated[int, typer.Option(help="How many resamples of the prompts; 0: none")] = 1000,
    task: Annotated[str, typer.Option(help="Only prompts of this task, whose ids begin with TASK/")] = "",
    donor: Annotated[
        Path | None, typer.Option(help="The donor's own answers (RUN_DIR/donor), for the metrics donor and plurality")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Choose alpha from answers, however they were made: lines with `alpha`, `prompt_id`, `response`."""
    from adamms.commands.select import select as run
    from adamms.reporting.tables import print_methods, print_selection
    from adamms.selecting.methods import MethodSelection

    found = run(responses, metric, endpoints, bootstrap=bootstrap, task=task, donor=donor)
    if as_json:
        print(json.dumps(found.to_json()))
    elif isinstance(found, MethodSelection):
        print_methods(found.to_json())
        print_selection(found.selection)
    else:
        print_selection(found)
    if found.chosen is None:
        raise UserError(f"{responses}: {found.verdict}")


@app.command()
def track(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a search or a sweep")],
    uri: Annotated[str | None, typer.Option(help="Another MLflow database or server than the search was told")] = None,
    experiment: Annotated[str | None, typer.Option(help="Another experiment")] = None,
    debug: Debug = False,
) -> None:
    """Deliver to MLflow what a search could not; or all of it to another server."""
    from adamms.tracking import deliver_run

    taken, target = deliver_run(run_dir, uri, experiment)
    print(f"{taken} records delivered to {target}")


@app.command()
def push(
    place: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a search, or of a merge")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="What the model is called on the Hub")],
    public: Annotated[bool, typer.Option("--public", help="For everybody to see; else it is private")] = False,
    task: Annotated[str, typer.Option(help="Whose winner, where each task has one")] = "",
    force: Annotated[bool, typer.Option("--force", help="Add a commit to a repository that is there already")] = False,
    debug: Debug = False,
) -> None:
    """Publish the winner on the Hugging Face Hub, with a card that says how it was made and chosen."""
    from adamms.commands.push import push as run

    print(run(place, repository, public=public, force=force, task=task))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    context: typer.Context,
    place: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a search, or of a merge")],
    task: Annotated[str, typer.Option(help="Whose winner, where each task has one")] = "",
    debug: Debug = False,
) -> None:
    """Serve the winner with vLLM's OpenAI-compatible server; further options are those of `vllm serve`."""
    from adamms.commands.serve import serve as run

    run(place, context.args, task)


def program(
    kind: type[Any],
    run: Callable[[Any, bool], None],
    text: str,
    rehearse: Callable[[Any], None] | None = None,
) -> Callable[[], None]:
    """A program of its own that takes settings only (`settings_command`); `--help` says the text."""
    entry = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    entry.command(help=text)(settings_command(lambda: kind, run, rehearse))

    def main() -> None:
        configure_logs(LogConfig())
        run_as_command(entry)

    return main


def pipeline(command: str) -> Callable[[], None]:
    """A subcommand as a program of its own, for `ray job submit`: the same arguments, the same exit statuses."""

    def main() -> None:
        configure_logs(LogConfig())
        run_as_command(lambda: app([command, *sys.argv[1:]]))

    return main


def main() -> None:
    """Entry point: exit status 2 with one line for what the user can mend, 1 for anything else."""
    gc.set_threshold(50_000)  # imports make many objects that stay: looking through them again and again costs a tenth
    configure_logs(LogConfig())
    run_as_command(app)


def run_as_command(entry: Callable[[], Any]) -> None:
    """Runs a command and turns its errors into the exit statuses of the contract."""
    try:
        entry()
    except (KeyboardInterrupt, SystemExit) as ended:
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:
            raise
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:  # no hook of ours would see it: Typer puts its own in place
        told = _to_mend(error)
        if told is None or "--debug" in sys.argv:
            # without secrets: whoever reports a fault sends it
            print(mask("".join(traceback.format_exception(error))), end="", file=sys.stderr)
        else:
            print(f"error: {told}", file=sys.stderr)
        sys.exit(1 if told is None else 2)


def _to_mend(error: Exception) -> UserError | None:
    """What the user can mend of it; None for a fault of ours."""
    if isinstance(error, UserError):
        return error
    if not isinstance(error, OSError) or error.errno not in FULL | UNUSABLE:
        return None
    mend = "make room" if error.errno in FULL else "give another path, or the permission"
    where = f"{error.filename}: " if error.filename else ""
    return UserError(f"{where}{error.strerror}; {mend}, the same command goes on where it stopped")


def _load(kind: type[Any], config: Path | None, overrides: list[str] | None, *given: dict[str, Any]) -> Any:
    from adamms.config import load_settings

    return load_settings(kind, config, overrides or [], *given)


def _print_settings(kind: type[Any]) -> None:
    """Every setting of a command, then the coefficients of every merge method."""
    from adamms.config import describe
    from adamms.merging.methods import describe_methods

    for one in describe(kind):
        print(f"{one.key}={one.default}  ({one.kind})")
        if one.text:
            print(f"    {one.text}")
    print("\nmerging.options, by merging.method:")
    for name, method in describe_methods().items():
        print(f"  {name}: {method.summary}")
        for option in method.coefficients:
            print(f"    {option.name}={option.default}  ({option.expected})  {option.description}")


def _interrupt(number: int, frame: Any) -> None:
    """`ray job stop`, Slurm and Kubernetes send SIGTERM: the same end as Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
