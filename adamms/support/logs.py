"""Log lines on stderr: plain text, or JSON for machines that collect them."""

import logging
import os
import sys
from dataclasses import dataclass
from typing import Any, Literal

from adamms.addresses import mask, masked


@dataclass(frozen=True)
class LogConfig:
    format: Literal["text", "json"] = "text"
    """text, or json: one object a line on stderr, with search, alpha and actor where there are such."""
    level: Literal["debug", "info", "warning", "error"] = "warning"
    """The lowest level that is shown; info: every answered unit."""


FIELDS = ("asctime", "levelname", "name", "message")


def configure_logs(config: LogConfig) -> None:
    """Sets format and level of everything that AdaMMS logs; other packages speak of errors only, unless it is asked to
    tell more than warnings.

    In JSON every `extra` of a line is a field of its own: search, alpha, actor, seconds. No line has the secrets of
    addresses.
    """
    handler = logging.StreamHandler(sys.stderr)
    if config.format == "json":
        from pythonjsonlogger.json import JsonFormatter

        class MaskedJson(JsonFormatter):
            def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
                return super().process_log_record({name: masked(value) for name, value in log_data.items()})

        renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(MaskedJson(FIELDS, rename_fields=renamed))
    else:
        handler.setFormatter(_Plain("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    quiet = config.level not in ("debug", "info")
    root.setLevel("ERROR" if quiet else "WARNING")
    if quiet:  # they do not ask the root what to say
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    logging.captureWarnings(True)
    logging.getLogger("adamms").setLevel(config.level.upper())


class _Plain(logging.Formatter):
    """As always, with what the line is about at its end, and without secrets, which tracebacks may have too."""

    def format(self, record: logging.LogRecord) -> str:
        about = {name: getattr(record, name) for name in ("search", "alpha", "actor") if hasattr(record, name)}
        told = ", ".join(f"{name} {value}" for name, value in about.items())
        return mask(super().format(record) + (f" ({told})" if told else ""))
