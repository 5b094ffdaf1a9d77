"""Ending foreign code that takes too long."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TooLong(Exception):
    """The block was not done in time."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TooLong within the block once it has taken so long, in whichever thread it runs.

    It ends Python code, such as what Jinja makes of a template; a single call into C is waited for.
    """
    thread, done, lock = ctypes.c_ulong(threading.get_ident()), False, threading.Lock()

    def end() -> None:
        with lock:
            if not done:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(TooLong))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            done = True
        timer.cancel()
