"""A search that is only thought through: what it would read, ask, need and write; no engine starts, nothing is written.

Memory and disk follow from headers. Time is a rough guess from what the device can do at best, and says so; where the
same folder has answers already, what these took is taken instead.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from adamms.engines.chat import Chat
from adamms.engines.devices import pick_device
from adamms.engines.loadable import LoadableFolder
from adamms.engines.memory import GB, MemoryNeed
from adamms.engines.registry import engine_class, fitting_kind, needed_gpus
from adamms.errors import UserError
from adamms.merging.rehearsal import DISK, NOTHING, Lines, model_bytes, output_lines, pair_lines
from adamms.prompts.prompt import Prompt
from adamms.prompts.tasks import all_prompts, load_tasks
from adamms.runs.answers import Answers
from adamms.runs.ownership import must_give_way
from adamms.runs.run_folder import RunFolder
from adamms.searching.coefficient import SearchedCoefficient
from adamms.searching.config import StudySettings
from adamms.searching.goal import ChoiceRule
from adamms.searching.methods import settings_of_methods
from adamms.searching.metric import with_metric
from adamms.searching.preparing import Asked, check_places, same_search
from adamms.searching.study import ITSELF, Study
from adamms.searching.weights_settings import check_weights, searches_weights, settings_of_step, walk_of
from adamms.support.progress import doing
from adamms.support.system import cores
from adamms.support.times import spell_seconds

SAMPLE = 8
"""Prompts whose tokens are counted, to guess those of all."""
STARTING = {"cpu": 45.0, "cuda": 90.0}
"""Seconds that an engine takes to start, beside reading its weights."""


@dataclass(frozen=True)
class Device:
    """What one device does at best: bytes of weights a second, and operations a second in 16 bits."""

    name: str
    bandwidth: float
    operations: float


GPUS = {
    "H200": Device("H200", 4.8e12, 990e12),
    "H100": Device("H100", 3.3e12, 990e12),
    "A100": Device("A100", 2.0e12, 312e12),
    "L40S": Device("L40S", 0.86e12, 362e12),
    "L4": Device("L4", 0.3e12, 121e12),
    "4090": Device("RTX 4090", 1.0e12, 165e12),
}
"""By a part of the name that CUDA gives; an unknown GPU is taken for an A100."""
USED = 0.4
"""The share of a device's best that is counted on."""


@dataclass(frozen=True)
class Guess:
    """Seconds by phase, and how many GPUs are held meanwhile."""

    seconds: dict[str, float]
    gpus: int
    measured: bool

    @property
    def total(self) -> float:
        """All phases, one after the other."""
        return sum(self.seconds.values())

    @property
    def gpu_hours(self) -> float:
        """GPUs times the hours that engines hold them."""
        return self.gpus * (self.total - self.seconds["exporting"]) / 3600


@dataclass(frozen=True)
class Rehearsal:
    """What a search would do.

    Attributes:
        stored: of the answers that would be `asked` for, those that are there already.
        donors: how many answer the prompts themselves, where the criterion wants that.
        kind: of the engine; None where nothing installed here fits, and another machine has to.
        trouble: what would stop it.
    """

    study: Study
    values: list[float]
    prompts: list[Prompt]
    stored: int
    donors: int
    scored: bool
    labelled: int
    kind: str | None
    device: Device
    need: MemoryNeed
    guess: Guess
    checkpoints: int
    trouble: tuple[str, ...]

    @property
    def asked(self) -> int:
        """Answers of all candidates, to labelled prompts too, and of the donors where the criterion wants them."""
        return (len(self.values) + self.donors) * len(self.prompts) + len(self.values) * self.labelled


def rehearse_search(settings: StudySettings) -> Lines:
    """What a search would do, in words; of one over several methods, what each of them would, one after the other.

    Raises:
        UserError: the first thing to mend.
    """
    settings = with_metric(settings)
    if searches_weights(settings):
        yield from _weights_lines(settings)
        return
    if not settings.searching.methods:
        yield from lines_of(rehearse(settings))
        return
    for method, one in settings_of_methods(settings).items():
        yield method, ""
        yield from lines_of(rehearse(one, RunFolder(Path(settings.run_dir))))
    yield "", "one checkpoint is written, of the method that wins"


def _weights_lines(settings: StudySettings) -> Iterator[tuple[str, str]]:
    """The first line as it would be; how many there are follows from what is chosen on each."""
    check_weights(settings)
    (first, *others), searching = next(iter(walk_of(settings))), settings.searching
    passes, trials = searching.passes, searching.trials
    count = 1 + len(others)
    yield from lines_of(rehearse(settings_of_step(settings, first), RunFolder(Path(settings.run_dir))))
    most = max(passes, 1) * count if trials else 2 * count - 1 + passes * count
    candidates = (trials or 1) + most * (len(first.values) - 1)  # each line goes through weights that were asked before
    limit = settings.budget.candidates
    before = f"{trials} sets of weights that a surrogate proposes, then " if trials else ""
    told = f"{before}{most} such lines at most, along one donor's weight each: {candidates} sets of weights"
    yield "lines", told + (f", or {limit} (budget.candidates)" if limit and limit < candidates else "")
    yield "", "one checkpoint is written, of the weights that win"


def rehearse(settings: StudySettings, parents: RunFolder | None = None) -> Rehearsal:
    """Reads headers, prompts and settings as the search itself would, and estimates the rest.

    Args:
        parents: as `prepare` takes it.

    Raises:
        UserError: the first thing to mend.
    """
    values = SearchedCoefficient.of(settings.merging, settings.searching).check(settings.searching.alphas)
    rule = ChoiceRule.of(settings.searching, values)
    with doing("reading the prompts"):
        tasks = load_tasks(settings.prompts)
    with doing("reading the models' headers and planning the merge"):
        study = Study.of(settings, weights=False)
    asked = Asked.of(study, rule.criterion, tasks, parents=parents, weights=False)
    labelled, labelled_answers = asked.labelled or (None, None)
    check_places(study, list(tasks))
    trouble = []
    try:
        must_give_way(study.run, same_search(study, values, asked.tasks, labelled), force=False)
    except UserError as error:
        trouble.append(str(error))
    prompts = all_prompts(asked.tasks)
    stored = _stored(study.answers(), values, prompts)
    stored += sum(_stored(answers, [ITSELF], prompts) for _, answers in asked.donors)
    if labelled and labelled_answers:
        stored += _stored(labelled_answers, values, labelled.prompts)
    kind, device = _engine(study)
    where = "cpu" if device.name == "CPU" else "cuda"
    need = engine_class(kind or "transformers").memory(
        study.pair.plan, study.pair.base, study.pair.donors, settings.engine, where
    )
    each = settings.searching.export == "each" and len(tasks) > 1
    found = Rehearsal(
        study=study,
        values=values,
        prompts=prompts,
        stored=stored,
        donors=len(asked.donors),
        scored=asked.scoring is not None and not asked.scoring.missing,
        labelled=len(labelled.prompts) if labelled else 0,
        kind=kind,
        device=device,
        need=need,
        guess=Guess({}, 0, False),
        checkpoints=len(tasks) if each else 1,
        trouble=tuple(trouble),
    )
    with doing("counting the tokens of some prompts"):
        return replace(found, guess=guess_time(found, prompt_tokens(study, prompts)))


def _stored(answers: Answers, values: Sequence[float], prompts: Sequence[Prompt]) -> int:
    return sum(answers.get(value, prompt) is not None for value in values for prompt in prompts)


def prompt_tokens(study: Study, prompts: Sequence[Prompt]) -> float:
    """The mean length of a prompt, images included, by the base's own processor; of a few of them.

    Raises:
        UserError: the base has no processor.
    """
    loadable = LoadableFolder(study.pair.base, study.engine, weights=False)
    chat = Chat(loadable.path, study.settings.engine.trust_remote_code)
    step = max(len(prompts) // SAMPLE, 1)
    return mean(float(chat.inputs([prompt])["input_ids"].shape[1]) for prompt in prompts[::step][:SAMPLE])


def guess_time(found: Rehearsal, tokens: float) -> Guess:
    """Where nothing was measured: a token's arithmetic while prompts are read, its weights' way through memory while
    answers are decoded (a whole batch at once), and the bytes that moves and checkpoints take.

    Args:
        tokens: of a prompt, on average.
    """
    study, config, device = found.study, found.study.settings.engine, found.device
    on_cpu = device.name == "CPU"
    weights = found.need.weights * (1 if on_cpu else config.tensor_parallel_size)
    elements = sum(info.elements for info in study.pair.base.tensors.values())
    gpus = 0 if on_cpu else needed_gpus(config)
    at_once = 1 if on_cpu else max(gpus, 1)
    reading = 2 * elements * tokens / (USED * device.operations * at_once)
    decoding = config.max_tokens * weights / (USED * device.bandwidth * at_once * min(config.batch_size, 16))
    missing, measured = max(found.asked - found.stored, 0), _measured(study)
    each = measured if measured is not None else reading + decoding
    seconds = {
        "starting engines": STARTING["cpu" if on_cpu else "cuda"] + model_bytes(study.pair.base) / DISK,
        "re-merging": len(found.values) * 9 * found.need.originals / (USED * device.bandwidth),
        "answering": missing * each / config.actors,
        "exporting": found.checkpoints * 3 * model_bytes(study.pair.base) / DISK,
    }
    return Guess(seconds if missing else {**dict.fromkeys(seconds, 0.0), "exporting": seconds["exporting"]},
                 gpus * config.actors, measured is not None)  # fmt: skip


def _measured(study: Study) -> float | None:
    """Seconds that an answer took in this folder before; None where none did."""
    records = [one for one in study.run.read_candidates().values() if one["generate_seconds"]]
    answers = sum(one.get("timed", one["answers"]) for one in records)
    return sum(one["generate_seconds"] for one in records) / answers if answers else None


def _engine(study: Study) -> tuple[str | None, Device]:
    """The engine that would be taken, and the device; of a cluster that is not asked, an A100 is supposed."""
    settings = study.settings
    if settings.ray.address or os.environ.get("RAY_ADDRESS"):
        named = settings.engine.kind
        return (None if named == "auto" else named), GPUS["A100"]
    import torch

    device = pick_device(settings.engine.device)
    found = Device("CPU", 10e9 * max(cores() / 4, 1), 30e9 * cores())
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device) if torch.cuda.is_available() else "A100"
        found = next((gpu for part, gpu in GPUS.items() if part in name), GPUS["A100"])
    return fitting_kind(study.engine), found


def lines_of(found: Rehearsal) -> Lines:
    """The rehearsal in words: what is told of, and what."""
    study, settings = found.study, found.study.settings
    yield from pair_lines(study.pair, settings.merging.method)
    new = max(found.asked - found.stored, 0)
    donor = {0: "", 1: " and the donor itself"}.get(found.donors, f" and {found.donors} donors themselves")
    told = f"{len(found.values)} values of {study.coefficient.name}{donor} x {len(found.prompts)} prompts"
    told += f" and {found.labelled} labelled ones" if found.labelled else ""
    told += "; base and donor score all of them" if found.scored else ""
    kept = f", {found.stored} of them stored already" if found.stored else ""
    yield "asks", f"{found.asked} answers ({told}){kept}; at most {new * settings.engine.max_tokens} tokens"
    if settings.searching.stop != "never" or settings.searching.refine:
        yield "", "fewer where it may stop early, more where it refines (searching.stop, searching.refine)"
    on_cpu = found.device.name == "CPU"
    where = "of memory" if on_cpu else "on each GPU"
    many = settings.engine.actors
    yield "engine", f"{found.kind or 'auto'}, {many} of {found.device.name if on_cpu else _gpus(found)}"
    yield "memory", f"{found.need.least / GB:.1f} GB {where}, each engine ({found.need}, in GB)"
    if not on_cpu:
        yield "", f"{found.need.originals / GB:.1f} GB more for original weights, there or in host memory"
    yield from output_lines(Path(settings.run_dir), study.pair.base, found.checkpoints)
    yield from _time_lines(found)
    for trouble in found.trouble:
        yield "trouble", trouble
    yield NOTHING


def _time_lines(found: Rehearsal) -> Lines:
    guess = found.guess
    how = "from what answers took in this folder" if guess.measured else "a guess from the device's data sheet"
    parts = ", ".join(f"{name} {spell_seconds(value)}" for name, value in guess.seconds.items() if value >= 1)
    yield "takes", f"about {spell_seconds(guess.total)} ({parts or 'seconds'}); {how}, be ready for three times as long"
    if guess.gpus:
        yield "costs", f"about {guess.gpu_hours:.2g} GPU hours ({guess.gpus} GPU{'s' * (guess.gpus > 1)} held)"


def _gpus(found: Rehearsal) -> str:
    config = found.study.settings.engine
    return f"{needed_gpus(config)} {found.device.name}" + (
        " (supposed; the cluster was not asked)" if found.kind is None else ""
    )
