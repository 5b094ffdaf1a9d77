"""All settings as a page. `python -m tests.docs.settings_page` writes docs/settings.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adamms.commands.settings import EvaluateSettings, MapSettings, MergeJobSettings, SearchSettings, SweepSettings
from adamms.config import Setting, describe
from adamms.merging.methods import describe_methods
from adamms.reporting.tables import markdown_row

FILE = Path(__file__).parents[2] / "docs" / "settings.md"
COMMANDS = {
    "adamms search": SearchSettings,
    "adamms sweep": SweepSettings,
    "adamms evaluate": EvaluateSettings,
    "pipelines/merge.py": MergeJobSettings,
    "adamms map": MapSettings,
}
INTRODUCTION = """# Settings

Generated from the classes themselves (`python -m tests.docs.settings_page`). `adamms search`, `sweep` and `evaluate`
list theirs by `--settings`; there they stand in a YAML file (`--config FILE`) or follow as `key=value`, and the latter
win. `adamms map` and `adamms merge` take `key=value`.
"""


def page() -> str:
    """What `search` has, then what others have beside it, then the methods' coefficients."""
    known: dict[str, Setting] = {}
    parts = [INTRODUCTION]
    for command, kind in COMMANDS.items():
        new = [one for one in describe(kind) if known.get(one.key) != one]
        known = {one.key: one for one in new} | known  # what `search` has is what others are compared with
        if new:
            others = "" if command == "adamms search" else ", beside or unlike those above"
            parts.append(f"## {command}{others}\n\n" + "\n".join(_table(new)) + "\n")
    parts.append("## merging.options, by merging.method\n\n" + "\n".join(_methods()) + "\n")
    return "\n".join(parts)


def _table(settings: list[Setting]) -> Iterator[str]:
    yield markdown_row(["setting", "default", "kind", "what it does"])
    yield markdown_row(["---"] * 4)
    for one in settings:
        yield markdown_row(
            [f"`{one.key}`", f"`{one.default}`" if one.default else "", _cell(one.kind), _cell(one.text)]
        )


def _methods() -> Iterator[str]:
    yield markdown_row(["method", "coefficients besides alpha", "what it does"])
    yield markdown_row(["---"] * 3)
    for name, method in describe_methods().items():
        options = "; ".join(f"`{one.name}={one.default}` ({one.expected})" for one in method.coefficients)
        yield markdown_row([f"`{name}`", _cell(options), _cell(method.summary)])


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
