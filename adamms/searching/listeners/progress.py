"""What a search does, on stderr: a line for each thing it begins or waits for, and a bar while answers come."""

from collections.abc import Callable
from contextlib import ExitStack

from adamms.runs.values import format_value
from adamms.searching.events import Asked, Asking, Doing, Ended, Event, UnitAnswered
from adamms.support.progress import STDERR, count_bar


class ProgressBars:
    """A listener; one for each search."""

    def __init__(self) -> None:
        self._bar = ExitStack()
        self._advance: Callable[[int, str], None] = lambda count, text: None

    def __call__(self, event: Event) -> None:
        """See `Listener`."""
        if isinstance(event, Doing):
            STDERR.print(f"{event.title} {event.what}".strip(), highlight=False, markup=False)
        elif isinstance(event, Asking):
            self._bar.close()
            self._advance = self._bar.enter_context(count_bar(f"{event.title} answering".strip(), event.missing))
        elif isinstance(event, UnitAnswered):
            text = f"{event.coefficient} {format_value(event.result.candidate.value)}"
            self._advance(len(event.result.answers), text)
        elif isinstance(event, Asked | Ended):
            self._bar.close()
