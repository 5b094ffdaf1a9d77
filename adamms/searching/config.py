"""What a search tries, what it chooses by, and when it ends."""

from dataclasses import dataclass, field
from typing import Literal

from adamms.engines.config import EngineConfig
from adamms.merging.config import MergeSettings
from adamms.prompts.config import Match, PromptsConfig
from adamms.support.files import expanded

AUTO = "auto"


@dataclass(frozen=True)
class SearchingConfig:
    alphas: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    """The candidates: values of `coefficient`."""
    coefficient: str = "alpha"
    """Which coefficient of `merging.method` is searched: alpha, or another one it has, such as density or scale."""
    alpha: float | str = 0.5
    """The donor's weight while another coefficient is searched; each donor's where there are several: "0.3,0.2"."""
    donor: int = 0
    """With several donors: search the weight of this one (1: the first), while the others keep those of `alpha`.
    0: search the weights of all, one donor after the other."""
    trials: int = 0
    """With several donors: begin with so many sets of weights that a Gaussian process proposes (optuna's; `pip install
    'adamms[surrogate]'`), instead of a line for each donor, and go around the best. 0: none. `metric` has to be one
    that scores a candidate by its own answers, such as logprob."""
    passes: int = 1
    """With several donors: once all are merged, how many times each one's weight is searched again; it ends early
    where a pass changes nothing."""
    methods: tuple[str, ...] = ()
    """Several merge methods in one search, such as [linear, ties, dare_ties], in place of `merging.method`: each is
    searched with its own alphas, and one candidate of all wins. `metric` has to be one that can compare them."""
    grids: dict[str, list[float]] = field(default_factory=dict)
    """With `methods`: values of a method that is not to take `alphas`, such as {ties: [0.3, 0.5, 0.7]}."""
    refine: tuple[float, ...] = ()
    """Steps of further rounds, each with finer candidates around the best of the one before, such as [0.05, 0.02]."""
    metric: str = AUTO
    """What is minimised: differences between neighbours, either (or paper) or sum (the paper's), edit, kl,
    embedding[:MODEL]; or logprob (how unsure a candidate is), parents (how implausible its answers are to base and
    donor), plurality, donor (answers other than the donor's own); a+b is the mean of two. For plurality and donor the
    donor answers all prompts first, for parents it scores the candidates' answers, with an engine of its own; so does
    the base in the warm one. auto: logprob+parents, and where no engine can run the donor, logprob, which is said;
    either for several donors' weights (logprob with `trials`) and with `stop`."""
    endpoints: Literal["auto", "exclude", "one_sided"] = "auto"
    """Whether the lowest and the highest candidate may be chosen: exclude, one_sided (by the difference to their only
    neighbour), or auto: by criteria that need no neighbour, such as logprob, and with `labels`; else not."""
    labels: str = ""
    """JSONL file of a few labelled prompts (20 to 50, with `answer`): the candidates that they cannot tell from the
    best (within one standard error) are kept, and the metric chooses among those; where base and donor contradict each
    other about the answers, the labels alone decide."""
    match: Match = "exact"
    """When an answer to a labelled prompt is right, here and in `adamms evaluate`. exact: it is the `answer` to the
    letter, surrounding space aside; normalized: without case, punctuation and articles, and `two` is `2`. A row's
    `answer` may be a list, of which each is right."""
    extend: bool = False
    """Go on beyond the range, in its last step, as long as the chosen candidate is the lowest or the highest."""
    stop: Literal["never", "confident"] = "never"
    """confident: as soon as the remaining prompts would hardly change the choice (`confidence`)."""
    block: int = 20
    """Where searches may stop: after every so many prompts of a task."""
    confidence: float = 0.95
    """For stop=confident: in what share of simulated remainders of the prompts the choice has to stay the same."""
    noise: int = 16
    """How many prompts a candidate is asked twice more, to see how many answers differ by chance alone: the chosen one
    or, where a donor scores the answers before the choice, the middle one."""
    export: Literal["one", "each"] = "one"
    """With several tasks: one checkpoint in merged/, of the alpha for all; or each task's, in merged/<task>."""


@dataclass(frozen=True)
class BudgetConfig:
    """Answering stops inside it, with the best choice so far; a search then asks in blocks (`searching.block`)."""

    hours: float = 0.0
    """Wall time of this run of the command; 0: no limit."""
    gpu_hours: float = 0.0
    """GPUs times hours that engines hold them; 0: no limit."""
    candidates: int = 0
    """Sets of weights that a search over several donors may ask; 0: no limit. It ends before it would ask more."""
    reserve: float = 0.05
    """Share of either that is kept for choosing and writing checkpoints."""


@dataclass(frozen=True)
class StudySettings(MergeSettings):
    """Settings of a study: a pair, what is searched, and with which engines and prompts."""

    run_dir: str = "runs/search"
    """Folder of the results; the same command goes on with what it finds there."""
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    searching: SearchingConfig = field(default_factory=SearchingConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)

    def __post_init__(self) -> None:
        """Raises UserError unless it is clear what is merged, and where results go."""
        super().__post_init__()
        self._expand_run_dir()

    def _expand_run_dir(self) -> None:
        object.__setattr__(self, "run_dir", str(expanded(self.run_dir)))
