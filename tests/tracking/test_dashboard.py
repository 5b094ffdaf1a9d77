"""What a person sees: a real MLflow server and the report, in headless Chromium. Screenshots: runs/screenshots."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from adamms.reporting.report import write_report
from adamms.runs.responses import read_responses
from adamms.runs.run_folder import RunFolder
from adamms.tracking.config import TrackingConfig
from tests.support.searches import ALPHAS, HOSTILE, made_up_story, track_made_up_search
from tests.tracking.conftest import SCREENSHOTS, Browser

EXPAND = "document.querySelectorAll('button[data-component-id*=runnamecellrenderer]')"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return write_report(made_up_story(folder), RunFolder(folder))[0]


@pytest.fixture(scope="module")
def demo(sqlite_server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, list[Any]]:
    """The address of the experiment, the search's run, and its candidates' in the order of alpha."""
    import mlflow

    config = TrackingConfig(uri=sqlite_server, experiment="demo", system_metrics=False)
    track_made_up_search(config, tmp_path_factory.mktemp("demo"), key="demo")
    client = mlflow.MlflowClient(sqlite_server)
    experiment = client.get_experiment_by_name("demo").experiment_id
    runs = client.search_runs([experiment])
    (parent,) = (run for run in runs if run.data.tags["adamms.kind"] == "search")
    candidates = sorted((run for run in runs if run is not parent), key=lambda run: run.data.params["alpha"])
    return f"{sqlite_server}/#/experiments/{experiment}", parent.info.run_id, candidates


def click(browser: Browser, text: str) -> None:
    """Clicks the smallest element that says just this."""
    found = f"[...document.querySelectorAll('*')].filter((x) => x.innerText?.trim() === {text!r}).at(-1)"
    browser.wait(f"{found} !== undefined")
    browser.driver.execute_script(f"{found}.click()")


def expand(browser: Browser) -> None:
    """Shows a search's candidates, unless they are shown (the browser remembers it from page to page)."""
    browser.wait(f"{EXPAND}.length > 0")
    if "alpha 0.3" not in browser.driver.execute_script("return document.body.innerText"):
        browser.driver.execute_script(f"{EXPAND}[0].click()")
    browser.shows("alpha 0.3")


def frame_shows(browser: Browser, text: str) -> None:
    """Waits until the page inside the page shows a text."""
    browser.wait("document.querySelector('iframe') !== null")
    browser.driver.switch_to.frame(browser.driver.find_element("tag name", "iframe"))
    browser.shows(text)
    browser.driver.switch_to.default_content()


def test_the_report_in_light_and_dark(browser: Browser, report: Path) -> None:
    browser.requested()
    for dark in (False, True):
        browser.open(report.as_uri(), dark=dark)
        browser.shows("alpha = 0.3")
        browser.screenshot(f"report-{'dark' if dark else 'light'}", whole=True)
        background = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == dark
        assert browser.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    asked = [address for address in browser.requested() if not address.startswith(("data:", report.as_uri()))]
    assert asked == [], "nothing is asked for over a network"
    assert browser.errors() == []
    assert HOSTILE in browser.driver.execute_script("return document.body.innerText")
    assert browser.driver.title == "llava-onevision into qwen2-vl"


PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}


def test_the_report_is_complete_on_a_phone(browser: Browser, report: Path) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        browser.open(report.as_uri())
        browser.shows("alpha = 0.3")
        browser.screenshot("report-phone", whole=True)
        clipped = """return [...document.querySelectorAll('table.stack td, .answer *, .warning, .prompt, pre, h1, h2')]
            .filter((part) => part.offsetParent && part.getBoundingClientRect().right > innerWidth + 1)
            .map((part) => part.textContent.slice(0, 60))"""
        assert browser.driver.execute_script(clipped) == []
        assert browser.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        third = "document.querySelector('table.stack td:nth-child(3)')"  # the header is folded into every cell
        title = browser.driver.execute_script(f"return getComputedStyle({third}, '::before').content")
        assert "towards the lower neighbour" in title
    finally:
        browser.laptop()


def test_all_answers_are_searched_filtered_and_taken_along(browser: Browser, report: Path, tmp_path: Path) -> None:
    browser.open(report.as_uri())
    count = "document.getElementById('count').textContent"
    assert browser.wait(count) == "40 of 40 prompts"
    assert browser.driver.execute_script("return document.querySelectorAll('#rows .prompt').length") == 20
    browser.driver.execute_script("document.getElementById('more').click()")
    assert browser.driver.execute_script("return document.querySelectorAll('#rows .prompt').length") == 40
    type_in = "const b = document.getElementById(arguments[0]); b.value = arguments[1];"
    type_in += "b.dispatchEvent(new Event(arguments[2]))"
    browser.driver.execute_script(type_in, "words", "picture 17?", "input")
    assert browser.driver.execute_script(f"return {count}") == "1 of 40 prompts"
    browser.driver.execute_script(type_in, "words", "", "input")
    browser.driver.execute_script(type_in, "which", "near", "change")
    changing = int(browser.driver.execute_script(f"return {count}").split()[0])
    assert changing == made_up_story(tmp_path).selection["scores"]["0.3"], "either counts the same prompts"
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    browser.driver.execute_script("document.getElementById('save').click()")
    deadline = time.monotonic() + 60
    while not (tmp_path / "answers.jsonl").is_file() and time.monotonic() < deadline:
        time.sleep(0.2)
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(rows) == changing * len(ALPHAS)
    assert read_responses(tmp_path / "answers.jsonl").keys() == set(ALPHAS), "adamms select reads it"


def test_a_figure_answers_a_pointer_and_a_keyboard(browser: Browser, report: Path) -> None:
    browser.open((report.parent / "figures" / "divergence.html").as_uri())
    tip = "document.getElementById('tip')"
    browser.driver.execute_script("document.querySelectorAll('.tip')[2].focus()")
    assert browser.wait(f"{tip}.innerText").startswith("alpha 0.3: answers that changed 17")
    browser.screenshot("figure-divergence")
    browser.driver.execute_script("document.activeElement.blur()")
    assert browser.wait(f"getComputedStyle({tip}).visibility") == "hidden"


def test_the_report_in_print(browser: Browser, report: Path) -> None:
    import base64

    browser.open(report.as_uri(), dark=True)
    found = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    paper = SCREENSHOTS / "report.pdf"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    paper.write_bytes(base64.b64decode(found["data"]))
    assert 2 <= paper.read_bytes().count(b"/Type /Page\n") <= 8
    subprocess.run(["pdftoppm", "-r", "60", "-png", paper, SCREENSHOTS / "print"], check=True)


def test_the_run_list_shows_searches_and_their_candidates(browser: Browser, demo: tuple[str, str, list[Any]]) -> None:
    browser.open(f"{demo[0]}/runs")
    browser.shows("llava-onevision")
    expand(browser)
    browser.screenshot("mlflow-runs")
    assert f"{1 + len(ALPHAS)} matching runs" in browser.driver.execute_script("return document.body.innerText")


def test_the_run_says_what_was_chosen_and_leads_to_charts_and_report(
    browser: Browser, demo: tuple[str, str, list[Any]]
) -> None:
    address, run, _ = demo
    browser.open(f"{address}/runs/{run}")
    browser.shows("alpha 0.3 was chosen")
    browser.screenshot("mlflow-run")
    link = "return [...document.querySelectorAll('a')].find((one) => one.innerText === {!r}).href"  # opens a new tab
    charts, report = (browser.driver.execute_script(link.format(t)) for t in ("charts of all candidates", "The report"))
    browser.open(charts)
    browser.shows(f"{1 + len(ALPHAS)} matching runs")
    for text in ("(4)", "either_by_alpha", "alpha vs. either"):  # charts below the fold are drawn when they are seen
        browser.shows(text)
    browser.wait("document.querySelectorAll('.js-plotly-plot').length >= 2")
    browser.screenshot("mlflow-charts")
    browser.open(f"{address}/runs/{run}/model-metrics")
    browser.shows("either_by_alpha")
    browser.shows("chosen_alpha")
    text = browser.driver.execute_script("return document.body.innerText")
    assert text.index("either_by_alpha") < text.index("chosen_alpha"), "the criterion comes first"
    browser.screenshot("mlflow-metrics")
    browser.open(report)
    frame_shows(browser, "alpha = 0.3")


def test_candidates_are_compared_where_people_look(browser: Browser, demo: tuple[str, str, list[Any]]) -> None:
    root, experiment = demo[0].split("/#/experiments/")
    ids = json.dumps([run.info.run_id for run in demo[2]])
    browser.open(f'{root}/#/compare-runs?runs={ids}&experiments=["{experiment}"]')
    browser.shows(f"Comparing {len(ALPHAS)} Runs")
    for text in ("Parallel Coordinates Plot", "alpha 0.6", "either", "tokens_saved", "rate_constant"):
        browser.shows(text)
    browser.screenshot("mlflow-compare")


def test_answers_are_compared_side_by_side(browser: Browser, demo: tuple[str, str, list[Any]]) -> None:
    """MLflow's own table over the candidates' `responses.json`."""
    browser.open(f"{demo[0]}/runs?compareRunsMode=ARTIFACT")
    expand(browser)
    browser.shows("responses.json")
    browser.wait("document.body.innerText.includes('grape star')")
    browser.screenshot("mlflow-answers")


def test_report_and_figures_open_on_the_server(browser: Browser, demo: tuple[str, str, list[Any]]) -> None:
    address, run, _ = demo
    browser.open(f"{address}/runs/{run}/artifacts")
    click(browser, "report.html")
    frame_shows(browser, "alpha = 0.3")
    browser.screenshot("mlflow-report")
    click(browser, "figures")
    click(browser, "divergence.html")
    browser.wait("document.body.innerText.includes('figures/divergence.html')")
    frame_shows(browser, "Answers that changed (either)")
    browser.screenshot("mlflow-figure")
    click(browser, "answers.png")
    browser.wait("[...document.images].some((image) => image.naturalWidth > 1000)")


def test_the_winner_is_in_the_registry(browser: Browser, demo: tuple[str, str, list[Any]]) -> None:
    root = demo[0].split("/#/")[0]
    browser.open(f"{root}/#/models/llava-onevision%20into%20qwen2-vl%2C%20fruit/versions/1")
    browser.shows("champion")
    browser.shows("merged")
    browser.screenshot("mlflow-champion")
