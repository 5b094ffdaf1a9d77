"""The folder of one search or sweep: what is in it, and where. Nothing else knows the names of its files."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.runs.candidate import CandidateRecord
from adamms.runs.values import format_value
from adamms.support.files import write_json, write_whole

MEND = "take it away, and the same command makes it anew"
COMMENT = "# "
DONOR = re.compile(r"donor(-\d+)?")
RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"


class RunFolder:
    """Reads and writes a run's files; each appears whole or not at all."""

    METHODS = "methods"
    """Of a search over several merge methods, the folder that has a run folder for each."""
    LINES = "lines"
    """Of a search over the weights of several donors, likewise for each line along one of them."""
    OF_LINES = METHODS, LINES
    TRIALS = "trials"
    """Of such a search, the answers of weights that a surrogate proposed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = folder / "plan.json"
        self.settings = folder / "settings.yaml"
        self.about = folder / "search.json"  # `describe`
        self.prompts = folder / "prompts.json"
        self.status = folder / "status.json"
        self.selection = folder / "selection.json"
        self.noise = folder / "noise.json"
        self.scores = folder / "scores.json"
        self.evaluation = folder / "evaluation.json"
        self.lmms_eval = folder / "lmms-eval.json"
        self.costs = folder / "costs.json"  # seconds by phase, and peaks of memory
        self.candidates = folder / "candidates"  # a file for each that has answered everything, or failed
        self.report = folder / "report.html"
        self.figures = folder / "figures"
        self.merged = folder / "merged"
        self.tracking = folder / "tracking"  # what the dashboard's deliveries keep for themselves
        self.finished = folder / "finished.json"  # what made it this search, of one that a sweep has finished
        self.sweep = folder / "sweep.json"  # the ranked table, in the folder of a sweep

    def describe(
        self,
        key: str,
        name: str,
        params: Mapping[str, str],
        parent: RunFolder | None = None,
        same: Mapping[str, Any] | None = None,
    ) -> None:
        """Says what the run is.

        Args:
            key: identifies it among all that ever went to one dashboard.
            name: for people.
            params: settings that one compares runs by.
            parent: the folder of the sweep that a search is part of.
            same: what answers and choice depend on (`runs.ownership`).
        """
        found = {"key": key, "name": name, "params": dict(params), "same": dict(same or {})}
        self.write(self.about, found | {"parent": str(parent.folder.resolve()) if parent else None})

    def of_donors(self, within: str = "") -> list[Path]:
        """Where something is kept of each donor, the only one or all in their order: `donor`, or `donor-1`, ...; not
        what was set aside.

        Args:
            within: a folder of this one.
        """
        found = [path for path in (self.folder / within).glob("donor*") if DONOR.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.name.partition("-")[2] or 0))

    def earlier(self) -> list[RunFolder]:
        """Those of searches that were here before and gave way to another, the oldest first."""
        found = [path for path in self.folder.glob("earlier-*") if path.name.removeprefix("earlier-").isdecimal()]
        return [RunFolder(path) for path in sorted(found, key=_number)]

    @property
    def same(self) -> dict[str, Any]:
        """What makes the search in it this one and no other, as `describe` was told; nothing where there is none."""
        return (self.read(self.about) or {}).get("same") or {}

    @property
    def latest(self) -> int:
        """The number of the latest of those; 0 where there are none. Some may have been removed to make room."""
        return max((_number(run.folder) for run in self.earlier()), default=0)

    @property
    def is_earlier(self) -> bool:
        """Whether it is one of those."""
        return bool((self.read(self.about) or {}).get("gave_way"))

    def set_aside(self) -> None:
        """Moves everything but the answers to a new `earlier-N`, which is a run folder itself; its description last,
        so that whoever is killed meanwhile finds it still there."""
        into = RunFolder(self.folder / f"earlier-{self.latest + 1}")
        into.folder.mkdir()
        self.write(self.about, (self.read(self.about) or {}) | {"gave_way": True})
        files = zip(vars(self).values(), vars(into).values(), strict=True)
        for own, moved in sorted(files, key=lambda pair: pair[0] == self.about):
            if own != self.folder and own.exists():
                own.rename(moved)

    def describe_prompts(self, tasks: Mapping[str, Sequence[Prompt]], sources: Mapping[str, str], seed: int) -> None:
        """What each task asks, without the pictures; the only task of a search has no name.

        Args:
            sources: task -> where its prompts were drawn from.
            seed: of the draw.
        """
        rows = {
            task: [{"id": p.id, "prompt": p.text, "images": len(p.images), "digest": p.digest} for p in prompts]
            for task, prompts in tasks.items()
        }
        found = {task: {"source": sources[task], "seed": seed, "prompts": rows[task]} for task in tasks}
        self.write(self.prompts, found)

    def set_status(self, status: str) -> None:
        """RUNNING, FINISHED, FAILED or KILLED, with the time at which the run first began and that of its end, in
        milliseconds since 1970."""
        now = int(time.time() * 1000)
        before = self.read(self.status) or {}
        found = {"status": status, "started": before.get("started", now), "ended": None if status == RUNNING else now}
        self.write(self.status, found)

    def write_candidate(self, record: CandidateRecord) -> None:
        """Keeps what a candidate cost. One that was finished before this run of the command keeps what it cost then."""
        file = self.candidates / f"{format_value(record.value)}.json"
        before = self.read(file)
        if before and not record.generate_seconds and record.error is None:
            return
        self.write(file, asdict(record) | {"ended": int(time.time() * 1000)})

    def read_candidates(self) -> dict[str, dict[str, Any]]:
        """Candidate's value as `format_value` writes it -> what `write_candidate` kept."""
        return {file.stem: self.read(file) for file in sorted(self.candidates.glob("*.json"))}

    def read(self, file: Path, kind: type = dict) -> Any:
        """The content of one of the JSON files, an object unless another kind is named; None where it is not there.

        Raises:
            UserError: it is broken.
        """
        try:
            found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}: broken ({error}); {MEND}") from None
        if not isinstance(found, kind | None):
            raise UserError(f"{file}: broken (a {type(found).__name__}); {MEND}")
        return found

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Within the block, a file that is no such JSON as AdaMMS writes is the user's to mend.

        Raises:
            UserError: something that such a file should have is not in it.
        """
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise UserError(f"{self.folder}: its files are not as a search leaves them ({reason}); {MEND}") from error

    def write(self, file: Path, data: Any) -> None:
        """Writes one of the JSON files in one step, so that a reader never sees half of it."""
        write_json(file, data)

    def write_settings(self, command: str, yaml: str) -> None:
        """Keeps the settings as a file that `--config` takes, below the command."""
        commented = "".join(f"{COMMENT}{line}\n" for line in command.splitlines() or [""])  # an argument may have lines
        write_whole(self.settings, f"{commented}{yaml}")

    def read_settings(self) -> tuple[str, str]:
        """The command and the settings that `write_settings` kept; both empty where there are none."""
        if not self.settings.is_file():
            return "", ""
        lines = self.settings.read_text(encoding="utf-8").splitlines(keepends=True)
        command = list(takewhile(lambda line: line.startswith(COMMENT), lines))
        told = "".join(line.removeprefix(COMMENT) for line in command)
        return told.rstrip("\n"), "".join(lines[len(command) :])


def _number(earlier: Path) -> int:
    return int(earlier.name.rpartition("-")[2])
