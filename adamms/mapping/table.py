"""A plan as a table that a person can read: per role, how many tensors merge, are kept, and why."""

from __future__ import annotations

from collections import Counter
from math import prod

from rich.console import Console
from rich.table import Table

from adamms.mapping.plan import MergePlan, TensorPlan


def print_plan(plan: MergePlan, console: Console | None = None) -> None:
    """Prints the models, the table of roles, the notes, and what of the donor is unused."""
    console = console or Console(soft_wrap=True)
    for title, model in (("base", plan.base), ("donor", plan.donor), ("ancestor", plan.ancestor)):
        if model is not None:
            console.print(f"{title:9}{model.location}  ({model.architecture}, names of {model.layout})")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("role", "expert", "tensors", "merged", "donor tensors", "why kept"):
        table.add_column(column, justify="right" if column in ("tensors", "merged") else "left")
    for (role, expert), tensors in _by_role(plan).items():
        donors = {piece.donor for tensor in tensors for piece in tensor.pieces}
        reasons = Counter(tensor.reason for tensor in tensors if tensor.reason)
        merged = sum(tensor.merges for tensor in tensors)
        table.add_row(role, expert, str(len(tensors)), str(merged), str(len(donors) or ""), "; ".join(reasons))
    console.print(table)
    for note in plan.notes:
        console.print(note)
    for reason, count in Counter(plan.unused.values()).items():
        console.print(f"unused in the donor: {count} tensors ({reason})")
    console.print(_summary(plan))


def _by_role(plan: MergePlan) -> dict[tuple[str, str], list[TensorPlan]]:
    groups: dict[tuple[str, str], list[TensorPlan]] = {}
    for tensor in plan.tensors:
        groups.setdefault((tensor.role, tensor.expert), []).append(tensor)
    return groups


def _summary(plan: MergePlan) -> str:
    total = sum(prod(tensor.shape) for tensor in plan.tensors)
    merged = sum((p.stop - p.start) * prod(t.shape[1:]) for t in plan.tensors for p in t.pieces)
    return (
        f"{len(plan.merged)} of {len(plan.tensors)} tensors merge ({merged / max(total, 1):.0%} of the parameters); "
        f"plan {plan.fingerprint}"
    )
