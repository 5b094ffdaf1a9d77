"""Which search a free lane takes next: plain state, no Ray, so that it can be tested and simulated."""

from collections.abc import Mapping
from threading import Lock


class SweepSchedule:
    """Searches not yet taken, and which engines each lane has.

    A lane goes on with searches that its engines can serve, so that few engines are started; then it takes those of
    engines that no lane has; then it helps where most is left. Safe to ask from every lane's thread.

    Args:
        engines: search -> what engines it needs (`EngineSpec.engine_key`), in the order wanted.
    """

    def __init__(self, engines: Mapping[str, str]) -> None:
        self._waiting: dict[str, list[str]] = {}
        for search, key in engines.items():
            self._waiting.setdefault(key, []).append(search)
        self._at: dict[int, str] = {}
        self._lock = Lock()

    def take(self, lane: int) -> str | None:
        """The next search for a free lane; None if nothing waits."""
        with self._lock:
            left = {key: len(searches) for key, searches in self._waiting.items() if searches}
            if not left:
                self._at.pop(lane, None)
                return None
            key = self._at.get(lane, "")
            if key not in left:
                others = {at for other, at in self._at.items() if other != lane}
                free = [key for key in left if key not in others]
                key = max(free or left, key=lambda key: left[key])
            self._at[lane] = key
            return self._waiting[key].pop(0)
