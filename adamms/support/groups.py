"""Work in portions."""

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def in_groups(items: Iterable[Item], size: Callable[[Item], int], limit: int) -> list[list[Item]]:
    """Consecutive items in groups whose sizes add up to at most `limit`, or of one item that alone is larger."""
    groups: list[list[Item]] = []
    total = 0
    for item in items:
        total += size(item)
        if not groups or total > limit:
            groups.append([])
            total = size(item)
        groups[-1].append(item)
    return groups
