"""A plan as a table that a person can read: per part, how many tensors merge, are duplicated, cut, kept, and why."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from adamms.addresses import mask
from adamms.mapping.plan import MergePlan, TensorPlan, titled
from adamms.mapping.planner import OWN
from adamms.mapping.rows import Turned


@dataclass
class Counts:
    """How many tensors of a part there are, and what happens to them.

    Attributes:
        duplicated: merged from a donor tensor that another expert of the base is merged from, too.
        cut: merged in part, or from a part of a donor tensor: fused matrices, padded vocabularies.
        from_donor: how many of those that merge each donor merges into.
    """

    tensors: int = 0
    merged: int = 0
    duplicated: int = 0
    cut: int = 0
    from_donor: Counter[int] = field(default_factory=Counter, compare=False)

    def numbers(self, donors: int) -> list[int]:
        """A row of the table: tensors, merged, of these from each of several donors, duplicated, cut, kept."""
        each = [self.from_donor[donor] for donor in range(donors)] if donors > 1 else []
        return [self.tensors, self.merged, *each, self.duplicated, self.cut, self.tensors - self.merged]


def print_plan(plan: MergePlan, console: Console | None = None) -> None:
    """Prints the models, the table of parts, why tensors are kept or unused, and the notes; no reason twice."""
    console = console or Console()
    for title, model in titled(plan.base, plan.donors, plan.ancestor):
        text = f"{title:9}{mask(model.location)}  ({model.architecture}, names of {model.layout})"
        console.print(Text(text), soft_wrap=True)
    console.print()
    console.print(_table(plan))
    printed: dict[str, str] = {}
    for title, reasons in (
        ("kept", [(_part(tensor), tensor.reason) for tensor in plan.tensors if not tensor.merges]),
        ("kept in part", [(_part(tensor), tensor.reason) for tensor in plan.merged if tensor.reason]),
        *zip(_unused_titles(plan), ([("", why) for why in unused.values()] for unused in plan.unused), strict=True),
    ):
        _print_lines(console, title, _reason_lines(reasons, printed))
    _print_lines(console, "warnings", [mask(warning) for warning in plan.warnings])
    _print_lines(console, "notes", [mask(note) for note in plan.notes if note.partition(": ")[2] not in printed])
    console.print()
    console.print(_summary(plan), highlight=False)


def count(plan: MergePlan) -> dict[str, Counts]:
    """The counts of every part, in the order in which the parts first appear."""
    counts: dict[str, Counts] = defaultdict(Counts)
    experts, intervals = _donor_use(plan)
    for tensor in plan.tensors:
        found = counts[_part(tensor)]
        found.tensors += 1
        if tensor.merges:
            found.merged += 1
            origins = set(chain.from_iterable(piece.origin for piece in tensor.pieces))
            found.duplicated += any(len(experts[origin]) > 1 for origin in origins)
            found.cut += not _whole(tensor) or any(len(intervals[origin]) > 1 for origin in origins)
            found.from_donor.update({donor for donor, _ in origins})
    return counts


DonorTensor = tuple[int, str | Turned]


def _donor_use(
    plan: MergePlan,
) -> tuple[dict[DonorTensor, set[str]], dict[DonorTensor, set[tuple[int, int]]]]:
    """By donor tensor: which experts of the base it goes into, and which of its rows are used together."""
    experts: dict[DonorTensor, set[str]] = defaultdict(set)
    intervals: dict[DonorTensor, set[tuple[int, int]]] = defaultdict(set)
    for tensor in plan.merged:
        for piece in tensor.pieces:
            for source in piece.sources:
                experts[source.donor, source.tensor].add(tensor.expert)
                intervals[source.donor, source.tensor].add((source.start, piece.stop - piece.start))
    return experts, intervals


def _unused_titles(plan: MergePlan) -> list[str]:
    many = len(plan.donors) > 1
    return [f"unused in {f'donor {number}' if many else 'the donor'}" for number in range(1, len(plan.unused) + 1)]


def _whole(tensor: TensorPlan) -> bool:
    return [(piece.start, piece.stop) for piece in tensor.pieces] == [(0, tensor.rows)]


def _part(tensor: TensorPlan) -> str:
    """A word for many tensors: attention, mlp, norms, or the role itself; with the expert's name where it has one."""
    role = tensor.role
    if "norm" in role.split(".")[-2 if "." in role else 0]:
        part = "norms"
    elif role.startswith("self_attn."):
        part = "attention"
    elif role.startswith("mlp."):
        part = "mlp"
    else:
        part = role.removesuffix(".weight")
    return f"{part} ({tensor.expert})" if tensor.expert else part


def _table(plan: MergePlan) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("part")
    donors = range(len(plan.donors)) if len(plan.donors) > 1 else ()
    for column in ("tensors", "merge", *(f"donor {i + 1}" for i in donors), "duplicated", "cut", "kept"):
        table.add_column(column, justify="right")
    for part, c in count(plan).items():
        table.add_row(part, *(str(number or "") for number in c.numbers(len(plan.donors))))
    return table


def _reason_lines(reasons: Iterable[tuple[str, str]], printed: dict[str, str]) -> list[str]:
    """A line for each reason: how many tensors it holds for, of which parts.

    Args:
        reasons: the part and the reason of each tensor.
        printed: the reasons of earlier sections, with the parts named there; those of this one are added.
    """
    parts = by_reason(reasons)
    width = max((len(str(found.total())) for found in parts.values()), default=0)
    lines = []
    for reason, found in parts.items():
        names = ", ".join(part for part in found if part and not reason.startswith(part))
        text = _told(reason, found)
        if printed.get(reason):
            same = f"for the same reason as {printed[reason]} above"
            text = f"{names}: {same}" if names else same
        printed.setdefault(reason, names)
        lines.append(f"{found.total():{width}} {text}")
    return lines


def by_reason(reasons: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    """Reason -> part -> how many tensors, from the part and the reason of each; that a part never merges is one reason,
    whichever part it is."""
    parts: dict[str, Counter[str]] = {}
    for part, reason in reasons:
        if reason.endswith(OWN):
            part, reason = reason.removesuffix(OWN), OWN.removeprefix(": ")
        parts.setdefault(reason, Counter())[part] += 1
    return parts


def kept_reasons(plan: MergePlan) -> list[tuple[int, str]]:
    """How many tensors do not merge, or in part only, of which parts and why; the most frequent reason first."""
    found = by_reason((_part(tensor), tensor.reason) for tensor in plan.tensors if tensor.reason)
    told = [(parts.total(), _told(reason, parts)) for reason, parts in found.items()]
    return sorted(told, key=lambda one: -one[0])


def _told(reason: str, parts: Iterable[str]) -> str:
    """`vision, projector: why`"""
    names = ", ".join(part for part in parts if part and not reason.startswith(part))
    return f"{names}: {reason}" if names else reason


def _print_lines(console: Console, title: str, lines: Sequence[str]) -> None:
    if lines:
        console.print()
        console.print(title, style="bold")
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 2)))


def _summary(plan: MergePlan) -> str:
    return f"{plan.summary}; plan {plan.fingerprint}"
