"""Comparing configs and headers of two models: problems that rule out a merge, and notes for the user."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.tensor_info import MERGEABLE_DTYPES
from adamms.errors import UserError
from adamms.mapping.config import MappingConfig
from adamms.mapping.language_model import LanguageModelView
from adamms.mapping.numbers import MROPE


@dataclass
class Findings:
    """Problems and notes, collected to be reported together."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare(
    base: Checkpoint, ours: LanguageModelView, donor: Checkpoint, theirs: LanguageModelView, config: MappingConfig
) -> Findings:
    """Every difference between the two language models' numbers, each as a problem or a note."""
    found = Findings(problems=ours.numbers.differing_sizes(theirs.numbers))
    _compare_rope(ours, theirs, config, found)
    eps, other = ours.numbers.rms_norm_eps, theirs.numbers.rms_norm_eps
    if None not in (eps, other) and eps != other:
        found.notes.append(f"rms_norm_eps {eps:g} != {other:g}: the result keeps the base's")
    _compare_dtypes(base, ours, donor, theirs, found)
    return found


def refuse(
    base: Checkpoint, donor: Checkpoint, problems: Sequence[str], notes: Sequence[str] = (), title: str = "donor"
) -> None:
    """Raises UserError if there are problems, with the notes appended.

    Args:
        title: which model is compared with the base: 'donor' or 'ancestor'.
    """
    if problems:
        also = f" (besides, {'; '.join(notes)})" if notes else ""
        raise UserError(
            f"{donor.folder}/config.json: this language model does not correspond to the base's, "
            f"{base.folder}/config.json (base != {title}): {'; '.join(problems)}{also}; "
            "merge models that grew from the same language model"
        )


def _compare_rope(ours: LanguageModelView, theirs: LanguageModelView, config: MappingConfig, found: Findings) -> None:
    a, b = ours.numbers, theirs.numbers
    differences = []
    if None not in (a.rope_theta, b.rope_theta) and a.rope_theta != b.rope_theta:
        differences.append(f"rope_theta {a.rope_theta:g} != {b.rope_theta:g}")
    scalings = [None if x.rope_scaling == MROPE else x.rope_scaling for x in (a, b)]
    if scalings[0] != scalings[1]:
        differences.append(f"rope_scaling {scalings[0] or 'none'} != {scalings[1] or 'none'}")
    elif a.rope_scaling != b.rope_scaling:
        found.notes.append("one side places image positions by mrope: for text it is plain rope, nothing to mend")
    if not differences or config.rope_check == "off":
        return
    if config.rope_check == "warn":
        found.notes.append(f"{', '.join(differences)}: the result keeps the base's positions")
    else:
        found.problems += [f"{difference} (mapping.rope_check=warn merges anyway)" for difference in differences]


def _compare_dtypes(
    base: Checkpoint, ours: LanguageModelView, donor: Checkpoint, theirs: LanguageModelView, found: Findings
) -> None:
    names = []
    for checkpoint, view in ((base, ours), (donor, theirs)):
        dtypes = Counter(checkpoint.tensors[name].dtype for name in view.segments)
        names.append(dtypes.most_common(1)[0][0])
        wrong = sorted(set(dtypes) - MERGEABLE_DTYPES)
        if wrong:
            found.problems.append(
                f"{checkpoint.location} has {', '.join(wrong)} weights (quantised?), "
                f"only {', '.join(sorted(MERGEABLE_DTYPES))} merge"
            )
    if names[0] != names[1]:
        found.notes.append(f"dtypes {names[0]} != {names[1]}: merged in float32 and rounded once, to the base's")
