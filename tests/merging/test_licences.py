"""A merge is never under a looser licence than one of its models."""

from __future__ import annotations

import pytest

from adamms.merging.licences import Licence, combined


@pytest.mark.parametrize(
    ("base", "donor", "expected"),
    [
        ("apache-2.0", "apache-2.0", "apache-2.0"),
        ("mit", "apache-2.0", "apache-2.0"),
        ("apache-2.0", "cc-by-nc-4.0", "cc-by-nc-4.0"),
        ("cc-by-nc-sa-4.0", "mit", "cc-by-nc-sa-4.0"),
        ("apache-2.0", "gpl-3.0", "gpl-3.0"),
        ("apache-2.0", "gpl-2.0", "other"),
        ("cc-by-nc-4.0", "gpl-3.0", "other"),
        ("llama3", "apache-2.0", "other"),
        ("apache-2.0", "", "other"),
    ],
)
def test_the_stricter_one_or_both_named(base: str, donor: str, expected: str) -> None:
    one, two = Licence.of({"license": base}), Licence.of({"license": donor})
    for found in (combined(one, two), combined(two, one)):
        assert found.kind == expected
        if expected == "other":
            assert all(part.title in found.name for part in (one, two))
            assert found.metadata()["license"] == "other"


def test_the_strictest_of_many() -> None:
    mit, apache, free, gpl = (
        Licence.of({"license": name}) for name in ("mit", "apache-2.0", "cc-by-nc-4.0", "gpl-3.0")
    )
    assert combined(mit, apache, mit) == apache
    assert combined(mit, apache, free, free) == free
    assert combined(mit, free, gpl).title == "mit and cc-by-nc-4.0 and gpl-3.0"


def test_named_licences_stay_named() -> None:
    qwen = Licence.of({"license": "other", "license_name": "qwen-research", "license_link": "https://x/LICENSE"})
    assert combined(qwen, qwen) == qwen
    found = combined(qwen, Licence("apache-2.0"))
    assert (found.kind, found.name, found.link) == ("other", "qwen-research and apache-2.0", "https://x/LICENSE")
    assert combined(Licence(), Licence()).metadata() == {}, "nothing is claimed where nothing is known"
