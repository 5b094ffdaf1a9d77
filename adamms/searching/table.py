"""A selection as a table that a person can read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from adamms.searching.responses import format_alpha
from adamms.searching.selection import END_POINT, Selection

if TYPE_CHECKING:
    from adamms.config import TrackingConfig


def print_selection(selection: Selection, console: Console | None = None) -> None:
    """Alpha, divergence and its parts, how often each would be chosen, the chosen one, and the verdict."""
    console = console or Console(soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("alpha", selection.metric, "to the left", "to the right", "bootstrap", "", "not chosen because"):
        table.add_column(column, justify="left" if column in ("", "not chosen because") else "right")
    for alpha, score in selection.scores.items():
        table.add_row(
            format_alpha(alpha),
            _number(score),
            _number(selection.left[alpha]),
            _number(selection.right[alpha]),
            f"{selection.bootstrap[alpha]:.0%}" if alpha in selection.bootstrap else "",
            "<- chosen" if alpha == selection.alpha else "",
            selection.excluded.get(alpha, "").replace(END_POINT, "end point"),
            style="bold green" if alpha == selection.alpha else None,
        )
    console.print(table)
    console.print(selection.verdict)
    for warning in selection.warnings:
        console.print(f"warning: {warning}")


def print_outcome(selection: Selection, merged: Path, tracking: TrackingConfig) -> None:
    """The end of a search: the table, the checkpoint, and how to look at all of it."""
    console = Console(soft_wrap=True)
    print_selection(selection, console)
    console.print(f"checkpoint: {merged}")
    if tracking.enabled:
        console.print(f"dashboard:  {dashboard_command(tracking.uri)}")


def dashboard_command(uri: str) -> str:
    """How to open the dashboard of a tracking URI."""
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
