"""The `adamms` command: each subcommand only arranges what the packages do."""

from __future__ import annotations

import gc
import inspect
import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from adamms.errors import FULL, UserError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Merge two multimodal language models that grew from the same language model, and find alpha without labels.",
)

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[key=value]...", help="Settings, e.g. mapping.duplicates=keep")
]
Base = Annotated[str, typer.Argument(metavar="BASE", help="Folder or Hub id[@revision]; its architecture is kept")]
Donor = Annotated[str, typer.Argument(metavar="DONOR", help="Folder or Hub id[@revision]; merged into the base")]
Endpoints = Literal["exclude", "one_sided"]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error")]


@app.command("map")
def map_models(
    base: Base, donor: Donor, overrides: Overrides = None, as_json: AsJson = False, debug: Debug = False
) -> None:
    """Show which donor weights would merge into which base weights, and why the rest is kept."""
    from adamms.commands.settings import MapSettings
    from adamms.config import load_settings
    from adamms.mapping import plan_pair
    from adamms.mapping.table import print_plan

    settings = load_settings(MapSettings, None, overrides or [], {"base": base, "donor": donor})
    plan = plan_pair(settings, weights=False).plan
    if as_json:
        print(json.dumps(plan.to_dict()))
    else:
        print_plan(plan)


@app.command()
def merge(
    base: Base,
    donor: Donor,
    output: Annotated[Path, typer.Option(help="Folder to write; it appears complete or not at all")],
    alpha: Annotated[
        float | None, typer.Option(help="The donor's weight, 0 to 1; metagpt and model_stock find it")
    ] = None,
    overrides: Overrides = None,
    method: Annotated[str | None, typer.Option(help="linear (default), slerp, ties, ...: see merging.method")] = None,
    ancestor: Annotated[
        str | None, typer.Option(help="The language model both grew from: folder or Hub id; for task-vector methods")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Load the result and ask it one question first")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output")] = False,
    debug: Debug = False,
) -> None:
    """Merge DONOR into BASE with one alpha and write a complete checkpoint."""
    from adamms.commands.merge import merge as merge_models
    from adamms.config import load_settings
    from adamms.merging.config import MergeSettings

    given: dict[str, Any] = {"base": base, "donor": donor}
    if ancestor is not None:
        given["ancestor"] = ancestor
    if method is not None:
        given["merging"] = {"method": method}
    settings = load_settings(MergeSettings, None, overrides or [], given)
    print(merge_models(settings, alpha, output, smoke=smoke, force=force))


@app.command()
def select(
    responses: Annotated[Path, typer.Argument(metavar="RESPONSES", help="JSONL file or folder of them")],
    metric: Annotated[
        str,
        typer.Option(
            help="either, sum, answer, edit, chrf, plurality, logprob, donor, kl, embedding[:MODEL]; a+b: mean"
        ),
    ] = "either",
    endpoints: Annotated[Endpoints, typer.Option(help="Whether the smallest and largest alpha may win")] = "exclude",
    smoothing: Annotated[float, typer.Option(help="How much of a score is its neighbours' average, 0 to 1")] = 0.0,
    bootstrap: Annotated[int, typer.Option(help="How many resamples of the prompts; 0: none")] = 1000,
    task: Annotated[str, typer.Option(help="Only prompts of this task, whose ids begin with TASK/")] = "",
    donor: Annotated[
        Path | None, typer.Option(help="The donor's own answers (RUN_DIR/donor), for the metrics donor and plurality")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Choose alpha from answers, however they were made: lines with `alpha`, `prompt_id`, `response`."""
    from adamms.reporting.tables import print_selection
    from adamms.runs.responses import of_task, read_responses
    from adamms.searching.donor import read_donor
    from adamms.selecting.criteria.criterion import get_metric
    from adamms.selecting.selection import select as select_alpha

    answers = of_task(read_responses(responses), task)
    known = get_metric(metric)
    parents = [read_donor(donor)] if donor and known.asks_donor else []
    selection = select_alpha(answers, known, endpoints, smoothing=smoothing, bootstrap=bootstrap, parents=parents)
    if as_json:
        print(json.dumps(selection.to_json()))
    else:
        print_selection(selection)
    if selection.alpha is None:
        raise UserError(f"{responses}: {selection.verdict}")


@app.command()
def track(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a search")],
    uri: Annotated[str | None, typer.Option(help="Another MLflow database or server than the search was told")] = None,
    experiment: Annotated[str | None, typer.Option(help="Another experiment")] = None,
    debug: Debug = False,
) -> None:
    """Deliver to MLflow what a search could not, each record once and in order; or all of it to another server."""
    from adamms.tracking.courier import deliver_run

    taken, target = deliver_run(run_dir, uri, experiment)
    print(f"{taken} records delivered to {target}")


def pipeline(function: Callable[[Any, bool], None]) -> Callable[[], None]:
    """Makes `function(settings, force)` a pipeline: `--config FILE [key=value ...] [--force] [--debug]`.

    The settings' type is the annotation of the first parameter.
    """
    kind = get_type_hints(function)["settings"]

    def command(
        config: Annotated[Path | None, typer.Option(help="YAML file of settings, e.g. conf/demo.yaml")] = None,
        overrides: Overrides = None,
        force: Annotated[bool, typer.Option("--force", help="Replace results that are in the way")] = False,
        debug: Debug = False,
    ) -> None:
        from adamms.config import load_settings
        from adamms.support.logs import configure_logs

        settings = load_settings(kind, config, overrides or [])
        configure_logs(settings.log)
        signal.signal(signal.SIGTERM, _interrupt)
        function(settings, force)

    command.__doc__ = inspect.getmodule(function).__doc__
    entry = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    entry.command()(command)

    def run() -> None:
        _log_to_stderr()
        run_as_command(entry)

    return run


def main() -> None:
    """Entry point: exit status 2 with one line for what the user can mend, 1 for anything else."""
    gc.set_threshold(50_000)  # imports make many objects that stay: looking through them again and again costs a tenth
    _log_to_stderr()
    run_as_command(app)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def _interrupt(number: int, frame: Any) -> None:
    """`ray job stop`, Slurm and Kubernetes send SIGTERM: the same end as Ctrl-C."""
    raise KeyboardInterrupt


def run_as_command(entry: Any) -> None:
    """Runs a command or pipeline and turns its errors into the exit statuses of the contract."""
    debug = "--debug" in sys.argv
    try:
        entry()
    except UserError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if debug or error.errno not in FULL:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror}; make room, the same command goes on where it stopped", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
