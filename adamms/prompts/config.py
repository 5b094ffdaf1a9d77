"""Which prompts are asked."""

from dataclasses import dataclass, field
from typing import Literal

Match = Literal["exact", "normalized"]
"""When an answer to a labelled prompt is right: to the letter (surrounding space aside), or as `normalize_answer` has
it."""


@dataclass(frozen=True)
class PromptsConfig:
    path: str = ""
    """JSONL, Parquet, a dataset (folder of `save_to_disk`, or a Hub id[@revision]), or a folder of images."""
    tasks: dict[str, str] = field(default_factory=dict)
    """Instead of `path`, for several tasks: name -> path. Each task gets its own alpha, and all of them one."""
    split: str = ""
    """Of a dataset; empty: its only one, else `test`, `validation` or `train`. Of a folder of Parquet: the files named
    after it; empty: all."""
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
    on_error: Literal["fail", "skip"] = "fail"
    """Broken images and over-long prompts: fail names them all before any engine starts; skip leaves them out."""


@dataclass(frozen=True)
class LabelledConfig(PromptsConfig):
    """Labelled prompts, which judge a search that is over."""

    path: str = ""
    """JSONL with `prompt`, `answer` (a text, or a list of which each is right), and perhaps `id` and `images`."""
    tasks: dict[str, str] = field(default_factory=dict)
    """Instead of `path`, of a search over several tasks: name -> path."""
    n: int = 300
    """How many prompts are drawn for each task (all, if there are fewer)."""
