"""How parameters are mapped, and a pair of models."""

from dataclasses import dataclass, field
from typing import Literal

Check = Literal["off", "warn", "error"]
"""What a failed check leads to: nothing (it is not made), a note in the plan, or an error."""


@dataclass(frozen=True)
class MappingConfig:
    base_architecture: str | None = None
    """Name of an architecture, or path of a YAML file that describes one, instead of recognising the base."""
    donor_architecture: str | None = None
    """Likewise for the donor."""
    ancestor_architecture: str | None = None
    """Likewise for the ancestor."""
    duplicates: Literal["merge", "keep"] = "merge"
    """What happens to a duplicated weight of the base. merge: into every duplicate, as section 3.1 of the paper; keep:
    only where the donor has it too (appendix B)."""
    embeddings: Literal["auto", "keep", "same", "align"] = "auto"
    """auto: row by row if the vocabularies are equal, else kept; keep: never; same: row by row, also where a
    tokenizer is missing or one side has further tokens; align: rows of tokens that both know."""
    unmatched: Literal["error", "keep"] = "error"
    """What happens to tensors of either language model without a counterpart in the other. error: nothing is merged;
    keep: the rest is merged, with a warning wherever the result is shown."""
    ancestry_check: Check = "error"
    """Whether the two language models grew from one ancestor, by sampled weights."""
    rope_check: Check = "error"
    """Whether both encode positions in the same way (rope_theta, rope_scaling)."""
    full_digest: bool = False
    """Tell models from one another by every byte of their weights, which reads them whole each time; else by config,
    headers, sizes and samples of every tensor."""


@dataclass(frozen=True)
class PairSettings:
    """Two models, and how the parameters that correspond are found."""

    base: str
    """Folder, Hub id[@revision] or URL, or MODEL+ADAPTER (LoRA) of these; its architecture is kept."""
    donor: str
    """Likewise; merged into the base. An adapter alone is added to the model that it names."""
    ancestor: str | None = None
    """The language model that both grew from: folder or Hub id; methods on task vectors need it."""
    mapping: MappingConfig = field(default_factory=MappingConfig)
