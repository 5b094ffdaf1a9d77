"""Reading JSONL files that somebody may still be writing, or was killed while writing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamms.errors import UserError

SHOWN_PROBLEMS = 5


@dataclass(frozen=True)
class Row:
    """One line of a JSONL file: its fields, and `file:line` for messages."""

    where: str
    fields: dict[str, Any]


def jsonl_files(path: Path) -> list[Path]:
    """The file itself, or every `*.jsonl` below the folder, in the order of their names.

    Raises:
        UserError: the path does not exist, or the folder holds no JSONL file.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*.jsonl") if file.is_file())
    if not files:
        what = "no *.jsonl file in this folder" if path.is_dir() else "no such file or folder"
        raise UserError(f"{path}: {what}; give a JSONL file of responses, or a folder of them")
    return files


def read_rows(file: Path, problems: list[str]) -> Iterator[Row]:
    """The rows of one file; lines that are no JSON object are added to `problems`.

    A last line that has no newline and cannot be read is what `kill -9` leaves behind: it is ignored.
    """
    lines = file.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            fields = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            if number < len(lines):
                reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "msg", str(error))
                problems.append(f"{where}: not JSON ({reason})")
            continue
        if isinstance(fields, dict):
            yield Row(where, fields)
        else:
            problems.append(f"{where}: expected a JSON object, found {type(fields).__name__}")


def raise_problems(problems: list[str]) -> None:
    """Raise what was collected, if anything, as one error that shows the first few.

    Raises:
        UserError: `problems` is not empty.
    """
    if not problems:
        return
    more = len(problems) - SHOWN_PROBLEMS
    raise UserError.from_problems(problems[:SHOWN_PROBLEMS] + ([f"and {more} more like these"] if more > 0 else []))
