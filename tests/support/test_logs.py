from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from adamms.commands.settings import MapSettings
from adamms.config import load_settings
from adamms.errors import UserError
from adamms.support.logs import LogConfig, configure_logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("adamms")
    before = root.handlers[:], ours.level
    level = root.level
    yield
    root.handlers[:], _ = before
    root.setLevel(level)
    logging.captureWarnings(False)
    ours.setLevel(before[1])


def test_json_lines_have_a_field_for_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogConfig("json", "info"))
    about = {"search": "pair/linear", "alpha": 0.3, "actor": 1}
    logging.getLogger("adamms.some").info("answered %d prompts", 4, extra=about)
    row = json.loads(capsys.readouterr().err)
    assert row.pop("time")
    expected = {"level": "INFO", "logger": "adamms.some", "message": "answered 4 prompts", **about}
    assert row.items() >= expected.items(), "where vLLM was imported, it adds fields of its own"


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_line_has_the_secrets_of_addresses(capsys: pytest.CaptureFixture[str], style: Any) -> None:
    configure_logs(LogConfig(style, "info"))
    address = "https://me:s3cr3t@host/x?token=s3cr3t"
    try:
        raise ValueError(address)
    except ValueError:
        logging.getLogger("adamms.some").exception("no answer from %s, said it", address, extra={"search": address})
    told = capsys.readouterr().err
    assert "s3cr3t" not in told
    assert "https://***@host/x?token=***" in (json.loads(told)["search"] if style == "json" else told)


def test_text_tells_the_same_at_its_end_and_only_from_the_level_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogConfig(level="warning"))
    logging.getLogger("adamms.some").info("quiet")
    logging.getLogger("adamms.some").warning("failed", extra={"search": "pair/ties"})
    assert capsys.readouterr().err == "WARNING adamms.some: failed (search pair/ties)\n"


def test_other_libraries_are_heard_only_when_they_fail(capsys: pytest.CaptureFixture[str]) -> None:
    for level, heard in (("warning", ["worse"]), ("info", ["bad", "worse"])):
        configure_logs(LogConfig(level=level))  # type: ignore[arg-type]
        logging.getLogger("another.library").warning("bad")
        logging.getLogger("another.library").error("worse")
        assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == heard


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(UserError, match=r"log\.level=loud: .*'loud', expected one of .*'debug'"):
        load_settings(MapSettings, None, ["log.level=loud"], {"base": "a", "donor": "b"})
