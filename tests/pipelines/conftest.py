"""What tests of jobs and of faults share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import MlflowServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    found = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    found.start()
    yield found
    found.kill()
