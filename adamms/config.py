"""Every setting, typed, with its one default. YAML files and `key=value` arguments are merged over it, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from adamms.errors import UserError


class Duplicates(StrEnum):
    """What a weight that the base duplicated becomes, where the donor has no duplicate."""

    merge = "merge"
    keep = "keep"


class Embeddings(StrEnum):
    """Which rows of embed_tokens and lm_head merge."""

    auto = "auto"
    keep = "keep"
    same = "same"
    align = "align"


class Check(StrEnum):
    """What a check that fails does: nothing, a note in the plan, or it refuses to merge."""

    off = "off"
    warn = "warn"
    error = "error"


class EngineKind(StrEnum):
    """Which engine answers prompts; `auto` is vllm where there is a GPU, else transformers."""

    auto = "auto"
    transformers = "transformers"
    vllm = "vllm"


class Stop(StrEnum):
    """When candidates stop answering further prompts."""

    never = "never"
    decided = "decided"
    confident = "confident"


class Endpoints(StrEnum):
    """Whether the smallest and the largest candidate, which have one neighbour only, may be chosen."""

    exclude = "exclude"
    one_sided = "one_sided"


class Export(StrEnum):
    """Which checkpoints a search over several tasks writes."""

    one = "one"
    each = "each"


class LogFormat(StrEnum):
    """How log lines are written."""

    text = "text"
    json = "json"


class Backend(StrEnum):
    """Where a merge runs."""

    auto = "auto"
    local = "local"
    ray = "ray"


@dataclass(frozen=True)
class MappingConfig:
    base_architecture: str | None = None
    """Name of an architecture, or path of a YAML file that describes one, instead of recognising the base."""
    donor_architecture: str | None = None
    """Likewise for the donor."""
    ancestor_architecture: str | None = None
    """Likewise for the ancestor."""
    duplicates: Duplicates = Duplicates.merge
    """merge: into every duplicate, as section 3.1 of the paper; keep: only where the donor has it too (appendix B)."""
    embeddings: Embeddings = Embeddings.auto
    """auto: row by row if the vocabularies are equal, else kept; keep: never; same: row by row, also where a
    tokenizer is missing or one side has further tokens; align: rows of tokens that both know."""
    ancestry_check: Check = Check.error
    """Whether the two language models grew from one ancestor, by sampled weights."""
    rope_check: Check = Check.error
    """Whether both place positions alike (rope_theta, rope_scaling)."""


@dataclass(frozen=True)
class MergingConfig:
    method: str = "linear"
    density: float | None = None
    """Share of each task vector that is kept, 0 to 1 (ties, dare_*, della, breadcrumbs); None: the method's own."""
    scale: float | None = None
    """What the merged task vector is multiplied with before it is added to the ancestor (lambda in the papers)."""
    trim_over: str | None = None
    """ties: what the density is a share of: the whole `model` (as its authors do) or each `tensor`."""
    gamma: float | None = None
    """breadcrumbs: share of each task vector, of the largest magnitudes, that is dropped."""
    epsilon: float | None = None
    """della: the share kept goes from density - epsilon (smallest magnitude) to density + epsilon (largest)."""
    seed: int | None = None
    """dare_*, della: of what is dropped at random."""
    backend: Backend = Backend.auto
    """auto: Ray tasks where `ray.address` (or RAY_ADDRESS) names a cluster, else threads of this process."""
    workers: int = 0
    """Threads (of this process, or of each Ray task) that read, merge and write; 0: one a core, on Ray one."""
    gpus_per_task: float = 0.0
    """Share of a GPU that each Ray task merges on (without Ray, more than 0: this machine's GPU); 0: on CPUs."""
    max_shard_size: str | None = None
    """Largest output file, such as 5GB; None: sharded as the base is."""


class OnError(StrEnum):
    """What happens where prompts are broken or too long."""

    fail = "fail"
    skip = "skip"


@dataclass(frozen=True)
class PromptsConfig:
    path: str = ""
    """JSONL, Parquet, a dataset (folder of `save_to_disk`, or a Hub id[@revision]), or a folder of images."""
    tasks: dict[str, str] = field(default_factory=dict)
    """Instead of `path`, for several tasks: name -> path. Each task gets its own alpha, and all of them one."""
    split: str = ""
    """Of a dataset; empty: its only one, else `test`, `validation` or `train`."""
    subset: str = ""
    """Of a Hub dataset: the configuration's name."""
    text_field: str = ""
    """Field that holds the question; empty: `prompt`, else `question`."""
    images_field: str = ""
    """Field that holds the image or images; empty: `images`, else `image`."""
    question: str = ""
    """Asked of every image of a folder."""
    n: int = 100
    """How many prompts are drawn for each task (all, if there are fewer)."""
    seed: int = 0
    """Decides which prompts are drawn."""
    system: str = ""
    """System message of every prompt; empty: none but what the chat template puts."""
    suffix: str = ""
    """Put after every prompt, such as 'Answer with a single word or phrase.'"""
    on_error: OnError = OnError.fail
    """Broken images and over-long prompts: fail names them all before any engine starts; skip leaves them out."""


@dataclass(frozen=True)
class EngineConfig:
    kind: EngineKind = EngineKind.auto
    """auto: vllm where there is an NVIDIA GPU and vllm knows the base's architecture, else transformers."""
    actors: int = 1
    """Engines that work side by side, each in its own Ray actor."""
    tensor_parallel_size: int = 1
    """GPUs of one engine (vllm)."""
    cpus: int = 0
    """Cores that an actor reserves and computes with; 0: one a GPU, or on a cluster without GPUs its even share."""
    dtype: str = "auto"
    """auto: the checkpoint's own on a GPU; float32 on a CPU, where bfloat16 is slow and rounds more."""
    device: str = "auto"
    """auto: cuda where there is one, else cpu; cuda also asks an autoscaling cluster for its first GPU."""
    max_tokens: int = 64
    """Longest answer."""
    stop: tuple[str, ...] = ()
    """An answer ends before the first of these strings."""
    max_model_len: int = 8192
    """Longest prompt and answer together (vllm), capped at the model's own."""
    batch_size: int = 16
    """Prompts answered at once (transformers; vllm decides by itself)."""
    block_size: int = 32
    """Prompts in one unit of work."""
    drafts: bool = True
    """Try another candidate's answer before decoding one (vllm); answers are the same, decoding is less."""
    gpu_memory_utilization: float = 0.85
    """Share of a GPU's memory for weights, activations and KV cache (vllm); the originals take from the rest."""
    kv_cache_gb: float = 0.0
    """KV cache of an engine (vllm); 0: what is left of the GPU's share, or 1 GB on a CPU."""
    vision_cache_tokens: int = 65536
    """Image embeddings kept from one alpha to the next (vllm), at best as many as all prompts have; 0: none."""
    batch_invariant: bool = False
    """Kernels whose results do not depend on the batch (vllm on CUDA): slower, but greedy answers repeat exactly."""
    enforce_eager: bool = False
    """Skip CUDA graphs and compilation: starts sooner, decodes slower (vllm)."""
    unit_timeout_s: float = 3600.0
    """An actor that is at one unit for longer is killed and the unit tried again; 0: never."""
    start_timeout_s: float = 3600.0
    """How long to wait for the first engine to be ready; 0: for ever."""
    trust_remote_code: bool = False
    """Run Python code that the checkpoint brings along."""


@dataclass(frozen=True)
class SearchingConfig:
    alphas: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    """The candidates: values of `coefficient`."""
    coefficient: str = "alpha"
    """Which coefficient of `merging.method` is searched: alpha, or another one it has, such as density or scale."""
    alpha: float = 0.5
    """The donor's weight while another coefficient is searched."""
    refine: tuple[float, ...] = ()
    """Steps of further rounds, each with finer candidates around the best of the one before, such as [0.05, 0.02]."""
    metric: str = "either"
    """What is minimised: between neighbours either or sum (the paper's), answer, edit, chrf, kl, embedding[:MODEL]; or
    logprob (how unsure a candidate is), plurality, donor (answers other than the donor's own); a+b is the mean of two.
    For plurality and donor the donor answers all prompts first, with an engine of its own."""
    endpoints: Endpoints = Endpoints.exclude
    smoothing: float = 0.0
    """How much of a score is its neighbours' average, 0 (the paper) to 1."""
    stop: Stop = Stop.never
    """decided: once the remaining prompts cannot change the choice; confident: once they hardly would."""
    block: int = 20
    """Where searches may stop: after every so many prompts of a task."""
    confidence: float = 0.95
    """stop=confident: in what share of imagined remainders the choice has to stay."""
    groups: tuple[str, ...] = ()
    """Afterwards, an alpha for each of these groups of weights: attention, mlp, early, late, layers:FIRST-LAST."""
    passes: int = 1
    """How often the groups are gone through, one after the other."""
    noise: int = 16
    """How many prompts the chosen candidate is asked twice more, to see how many answers differ by chance alone."""
    export: Export = Export.one
    """With several tasks: one checkpoint in merged/, of the alpha for all; or each task's, in merged/<task>."""


@dataclass(frozen=True)
class TrackingConfig:
    uri: str = "sqlite:///mlflow.db"
    """Database or server of MLflow; one that does not answer gets everything later, by `adamms track RUN_DIR`."""
    experiment: str = "adamms"
    model: str = ""
    """Registered model that the winner becomes the champion of; empty: named after the pair and the task."""
    system_metrics: bool = True
    """Whether to log how busy this machine is."""
    enabled: bool = True


@dataclass(frozen=True)
class RayConfig:
    address: str | None = None
    """None: the cluster this job runs in, else a new one on this machine."""


@dataclass(frozen=True)
class BudgetConfig:
    """Answering stops inside it, with the best choice so far; a search then asks in blocks (`searching.block`)."""

    hours: float = 0.0
    """Wall time of this run of the command; 0: no limit."""
    gpu_hours: float = 0.0
    """GPUs times hours that engines hold them; 0: no limit."""
    reserve: float = 0.05
    """Share of either that is kept for choosing and writing checkpoints."""


@dataclass(frozen=True)
class LogConfig:
    format: LogFormat = LogFormat.text
    """text, or json: one object a line on stderr, with search, alpha and actor where there are such."""
    level: str = "warning"
    """debug, info (every answered unit), warning, error."""


@dataclass(frozen=True)
class MapSettings:
    """Settings of `adamms map`."""

    base: str
    donor: str
    ancestor: str | None = None
    mapping: MappingConfig = field(default_factory=MappingConfig)
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True)
class MergeSettings(MapSettings):
    """Settings of a merge."""

    merging: MergingConfig = field(default_factory=MergingConfig)
    ray: RayConfig = field(default_factory=RayConfig)


@dataclass(frozen=True)
class MergeJobSettings(MergeSettings):
    """Settings of `pipelines/merge.py`."""

    alpha: float | None = None
    """The donor's weight, 0 to 1; metagpt and model_stock find it."""
    output: str = "runs/merged"
    """Folder to write; it appears complete or not at all."""
    smoke: bool = False
    """Load the result and ask it one question first."""


@dataclass(frozen=True)
class SearchSettings(MergeSettings):
    """Settings of a search."""

    run_dir: str = "runs/search"
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    searching: SearchingConfig = field(default_factory=SearchingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)


@dataclass(frozen=True)
class SweepConfig:
    pairs: dict[str, Any] = field(default_factory=dict)
    """Name -> the YAML file of a pair, or the pair's own settings: base, donor, and whatever differs (mapping.*, ...).
    """
    methods: tuple[str, ...] = ("linear",)
    """Each pair is searched with each of them."""
    lanes: int = 0
    """Searches that run side by side, each with `engine.actors` engines; 0: as many as the cluster now has GPUs for
    (or cores, with engine.cpus), at least one."""


@dataclass(frozen=True)
class SweepSettings:
    """Settings of a sweep: those of all its searches, and the pairs and methods."""

    ancestor: str | None = None
    """Of every pair that does not name its own."""
    run_dir: str = "runs/sweep"
    """Each search has its folder in it: PAIR/METHOD."""
    sweep: SweepConfig = field(default_factory=SweepConfig)
    mapping: MappingConfig = field(default_factory=MappingConfig)
    merging: MergingConfig = field(default_factory=MergingConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    searching: SearchingConfig = field(default_factory=SearchingConfig)
    tracking: TrackingConfig = field(default_factory=lambda: TrackingConfig(experiment="sweep"))
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True)
class LmmsEvalConfig:
    tasks: tuple[str, ...] = ()
    """lmms-eval's tasks for the winner, such as mmmu_val, ocrbench; none: it is not run."""
    python: str = ""
    """The Python it is installed for; empty: this one. An environment of its own spares conflicts with vLLM's needs."""
    model: str = "vllm"
    """Its name of the model class: vllm, qwen2_vl, llava_onevision, ..."""
    model_args: tuple[str, ...] = ()
    """Further arguments of the model class, such as tensor_parallel_size=4."""
    batch_size: int = 1
    options: tuple[str, ...] = ()
    """Further options of its command line, such as --limit=100 or --include_path=DIR with tasks of your own."""


@dataclass(frozen=True)
class EvaluateSettings(SearchSettings):
    """Settings of judging a search by labelled prompts."""

    labelled: PromptsConfig = field(default_factory=lambda: PromptsConfig(n=300))
    """JSONL with `prompt`, `answer`, and perhaps `id` and `images`; may be left out where lmms_eval.tasks are given."""
    baselines: tuple[str, ...] = ()
    """Other methods to judge beside the candidates, with their defaults: task_arithmetic, ties, dare_linear, ..."""
    lmms_eval: LmmsEvalConfig = field(default_factory=LmmsEvalConfig)


@dataclass(frozen=True)
class ReproduceSettings:
    """Settings of the comparison on the tiny pair."""

    seeds: tuple[int, ...] = (1, 2, 3)
    tasks: tuple[str, ...] = ("position-fruit",)
    baselines: tuple[str, ...] = ("task_arithmetic", "ties", "dare_linear", "dare_ties", "metagpt")
    """Judged beside the chosen candidates."""
    labelled: int = 300
    """How many labelled prompts of each task are judged by, at most."""
    criteria: tuple[str, ...] = (
        "either",
        "sum",
        "answer",
        "edit",
        "chrf",
        "plurality",
        "either+plurality",
        "logprob",
        "kl",
        "donor",
        "either+logprob",
        "logprob+donor",
        "either~0.5",
        "sum~0.5",
    )
    """What `pipelines/experiments/criteria.py` compares, each with the first: metric or metric~smoothing."""
    folder: str = "runs/reproduce"
    engine: EngineConfig = field(default_factory=EngineConfig)
    searching: SearchingConfig = field(default_factory=SearchingConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    log: LogConfig = field(default_factory=LogConfig)


Settings = TypeVar("Settings")


def load_settings(kind: type[Settings], path: Path | None, overrides: list[str], *given: dict[str, Any]) -> Settings:
    """Defaults, then a YAML file, then what is given, in order, then what the command line says; checked once.

    Raises:
        UserError: no such file, an unknown key, a value of the wrong type, or a missing one.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    bad = [text for text in overrides if "=" not in text or text.startswith("=")]
    if bad:
        raise UserError(f"{bad[0]!r}: expected key=value")
    layers = [load_yaml(path)] if path is not None else []
    try:
        found = [OmegaConf.create(layer) for layer in (*layers, *given)]
        found = [_off_is_a_word(layer) for layer in (*found, OmegaConf.from_dotlist(overrides))]
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), *found))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UserError(f"{path or 'settings'}: {_explain(error)}") from None
    except Exception as error:  # YAML syntax errors in key=value come from the parser
        raise UserError(f"{path or 'settings'}: {str(error).splitlines()[0]}") from None


def load_yaml(path: Path) -> dict[str, Any]:
    """The settings in a file, as they stand there.

    Raises:
        UserError: no such file, or not YAML.
    """
    from omegaconf import OmegaConf

    if not path.is_file():
        raise UserError(f"{path}: no such file; give a YAML file such as conf/demo.yaml")
    try:
        found = OmegaConf.load(path)
        plain = OmegaConf.to_container(found)
    except Exception as error:  # of the YAML parser, of OmegaConf
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from None
    if not isinstance(plain, dict):
        raise UserError(f"{path}: expected settings, key: value")
    return {str(key): value for key, value in plain.items()}


def plain(settings: Any) -> dict[str, Any]:
    """Settings as plain data."""
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(OmegaConf.structured(settings))
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def settings_yaml(settings: Any) -> str:
    """All settings, defaults included, as a file that `--config` takes."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(settings))


def _off_is_a_word(layer: Any) -> Any:
    """YAML reads `off` as false; where a check is meant, it is a word again."""
    from omegaconf import DictConfig

    mapping = layer.get("mapping") if isinstance(layer, DictConfig) else None
    if isinstance(mapping, DictConfig):
        for key in [key for key in mapping if str(key).endswith("_check") and mapping[key] is False]:
            mapping[key] = Check.off.value
    return layer


def _explain(error: Any) -> str:
    lines = str(error).splitlines()
    key = getattr(error, "full_key", None)
    return f"{key}: {lines[0]}" if key else lines[0]
