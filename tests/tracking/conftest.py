"""Real servers and a real browser; what is slow to make is made once a session."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adamms.tracking.config import TrackingConfig

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "runs" / "screenshots"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with MLflow's tables, to be copied: making them takes seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def config(tmp_path: Path, empty_database: Path) -> TrackingConfig:
    """Tracking into a database of the test's own."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", system_metrics=False)


@pytest.fixture(scope="session")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """The address of a real MLflow server on SQLite."""
    folder = tmp_path_factory.mktemp("sqlite_server")
    shutil.copy(empty_database, folder / "mlflow.db")
    with mlflow_server(f"sqlite:///{folder}/mlflow.db", folder) as address:
        yield address


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server on a real PostgreSQL."""
    folder = tmp_path_factory.mktemp("postgresql_server")
    with postgresql() as database, mlflow_server(database, folder) as address:
        yield address


@contextlib.contextmanager
def mlflow_server(database: str, folder: Path) -> Iterator[str]:
    """`mlflow server`, which keeps artifacts for its clients, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--host", "127.0.0.1"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # starts sooner, and we need none
    command += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(port), "--workers", "1"]
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, cwd=folder, env=environment
        ) as process,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL of our own on the loopback interface; Debian's package `postgresql` has all that it needs."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses to run as root
    folder = subprocess.run([*as_user, "mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip()
    port, data = free_port(), f"{folder}/data"

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, str(programs[-1] / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    run("initdb", "--pgdata", data, "--username", "mlflow", "--auth", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "--pgdata", data, "--options", options, "--log", f"{folder}/log", "--wait", "start")
    try:
        yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "--pgdata", data, "--mode", "immediate", "stop")
        subprocess.run([*as_user, "rm", "-r", folder], check=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(address: str, process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.3)
    raise AssertionError(f"{address} does not answer (exit status {process.poll()})")


class Browser:
    """Headless Chromium of a laptop's size."""

    def __init__(self, profile: Path) -> None:
        from selenium.webdriver import Chrome, ChromeOptions
        from selenium.webdriver.chrome.service import Service

        options = ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        flags += "disable-component-update disable-sync disable-dev-shm-usage hide-scrollbars"
        for flag in [*flags.split(), "window-size=1366,768", f"user-data-dir={profile}"]:
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.driver.set_page_load_timeout(120)
        self.driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})  # as if it were in front
        self.laptop()

    def laptop(self) -> None:
        """The window is as large as a laptop's."""
        screen = {"width": 1366, "height": 768, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)

    def open(self, address: str, *, dark: bool = False) -> None:
        """Goes to a page, as a reader with a light or dark desktop."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(address)

    def wait(self, condition: str, seconds: float = 90) -> Any:
        """The value of a JavaScript expression, once it is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if value := self.driver.execute_script(f"return {condition}"):
                return value
            time.sleep(0.3)
        page = self.driver.execute_script("return document.body.innerText")
        raise AssertionError(f"{condition} did not come true on {self.driver.current_url}; the page says: {page[:800]}")

    def shows(self, text: str) -> None:
        """Waits until a text is to be seen."""
        self.wait(f"document.body.innerText.includes({text!r})")

    def screenshot(self, name: str, *, whole: bool = False) -> Path:
        """Keeps what is to be seen under runs/screenshots: the window, or the whole page."""
        import base64

        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        found = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def errors(self) -> list[str]:
        """What the page complained of since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def requested(self) -> list[str]:
        """The addresses that pages asked for since the last call."""
        import json

        events = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.driver.quit()
