"""How parameters are mapped, and a pair of models."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from adamms.errors import UserError

Check = Literal["off", "warn", "error"]
"""What a failed check leads to: nothing (it is not made), a note in the plan, or an error."""


@dataclass(frozen=True)
class MappingConfig:
    base_architecture: str | None = None
    """Name of an architecture, or path of a YAML file that describes one, instead of recognising the base."""
    donor_architecture: str | None = None
    """Likewise for the donor."""
    donor_architectures: tuple[str, ...] = ()
    """Likewise for each of several donors, in their order; "" where it is to be recognised."""
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
    """Whether the language models grew from one ancestor, the one that is given if one is, by sampled weights."""
    rope_check: Check = "error"
    """Whether both encode positions in the same way (rope_theta, rope_scaling)."""
    full_digest: bool = False
    """Tell models from one another by every byte of their weights, which reads them whole each time; else by config,
    headers, sizes and samples of every tensor."""

    def given(self) -> dict[str, Any]:
        """What is not as it is by default, as JSON and YAML take it."""
        found = {one.name: (getattr(self, one.name), one.default) for one in fields(self)}
        changed = {name: value for name, (value, default) in found.items() if value != default}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}


@dataclass(frozen=True)
class PairSettings:
    """A base and what is merged into it, and how the parameters that correspond are found."""

    base: str
    """Folder, Hub id[@revision] or URL, or MODEL+ADAPTER (LoRA) of these; its architecture is kept."""
    donor: str = ""
    """Likewise; merged into the base. An adapter alone is added to the model that it names."""
    donors: tuple[str, ...] = ()
    """In place of `donor`, several: all are merged into the base at once, each with a weight of its own."""
    ancestor: str | None = None
    """The language model that all grew from: folder or Hub id; methods on task vectors need it. Where it is not given,
    the one that the cards of all models name as their `base_model`."""
    mapping: MappingConfig = field(default_factory=MappingConfig)

    def __post_init__(self) -> None:
        """Raises UserError unless it is clear what is merged."""
        if bool(self.donor) == bool(self.donors):
            found = f"donor={self.donor} and donors=[{','.join(self.donors)}]" if self.donor else "donor: none"
            raise UserError(f"{found}; give one donor, or several as donors=[A,B]")
        twice = next((donor for donor in self.donors if not donor or self.donors.count(donor) > 1), None)
        if twice is not None:
            raise UserError(f"donors: {twice or 'an empty name'} is no further donor; name each once")
        kinds = self.mapping.donor_architectures
        if kinds and len(kinds) != len(self.donors):
            raise UserError(
                f"mapping.donor_architectures: {len(kinds)} for {len(self.donors)} `donors`; give one each, "
                '"" where it is to be recognised, and mapping.donor_architecture for a single `donor`'
            )

    @property
    def all_donors(self) -> tuple[str, ...]:
        """The only one, or several."""
        return self.donors or (self.donor,)

    def mapping_of(self, donor: int) -> MappingConfig:
        """How one of them is mapped: as all, by its own architecture."""
        kinds = self.mapping.donor_architectures
        own = (kinds[donor] or None) if kinds else self.mapping.donor_architecture
        return replace(self.mapping, donor_architecture=own)
