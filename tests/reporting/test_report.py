from __future__ import annotations

import inspect
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from adamms.mapping import planner
from adamms.merging.companions import RECORD
from adamms.prompts.prompt import Prompt
from adamms.reporting import report as reports
from adamms.reporting.advice import ADVICE
from adamms.reporting.card import accuracy_of, published_card
from adamms.reporting.every_answer import every_answer
from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.report import Story, judged_rows, write_report
from adamms.reporting.story import noise_floor, read_judgements
from adamms.reporting.telling import SAME, STABLE, UNSTABLE, telling_prompts
from adamms.runs.answers import Answers
from adamms.runs.costs import Costs, read_costs
from adamms.runs.record import ResponseRecord
from adamms.runs.run_folder import RunFolder
from adamms.runs.values import format_value
from adamms.searching import goal, parents
from adamms.selecting import contradiction, verdict, worth
from adamms.selecting import selection as selection_module
from adamms.selecting.selection import select
from tests.support.searches import ALPHAS, HOSTILE, SECONDS, made_up_prompts, made_up_story, write_choice

SPEAKING = (verdict, worth, contradiction, planner, goal, parents, selection_module)
"""Modules that warn."""


class Page(HTMLParser):
    """What a browser would find: the text, the pictures, the scripts."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.text, self.scripts, self._in_script = "", 0, False
        self.pictures: list[str] = []
        self.asked: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._in_script = tag == "script"
        self.scripts += tag == "script" and "type" not in found  # the answers are data, and no script
        if tag == "img":
            self.pictures.append(str(found["src"]))
        self.asked += [str(found[name]) for name in ("src", "href", "xlink:href") if name in found]

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False
        self.text += " " * (tag in ("td", "th"))

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_script else data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("report")
    report, *figures = write_report(made_up_story(folder), RunFolder(folder))
    assert report == folder / "report.html"
    assert {path.name for path in figures} == {
        f"{name}.{form}" for name in ("divergence", "answers", "phases") for form in ("png", "html")
    }
    return Page(report)


def test_the_report_says_all_that_it_must(page: Page) -> None:
    for text in ("alpha = ", "resamples", "qwen2-vl", "llava-onevision", "vision encoder: the base keeps its own",
                 "2 of 3 tensors merge (100.0% of the language model's parameters)",
                 "Warning: merged in part only, as it was asked for.",
                 "Time by phase", "2 min 26 s", "torch", "base: models/qwen2-vl",
                 *map(format_value, ALPHAS), "47.5", "peak memory of an engine", "3.25 GB",
                 "answers that changed (either)", "towards the lower neighbour", "towards the higher neighbour",
                 "chosen in resamples", "% correct",
                 "noise floor (same alpha twice): 1", "the donor alone reaches 22.0 %"):  # fmt: skip
        assert text in page.text, text
    assert len(page.pictures) >= 5, "the pictures of the prompts are shown"


def test_the_report_asks_nobody_for_anything(page: Page) -> None:
    assert all(address.startswith(("data:", "#")) for address in page.asked), page.asked


def test_answers_cannot_break_out_of_the_report(page: Page) -> None:
    assert HOSTILE in page.text, "it is shown as the text that it is"
    assert page.scripts == 2, "the only scripts are ours"


def test_every_answer_is_in_the_page_once(tmp_path: Path) -> None:
    story = made_up_story(tmp_path)
    found = every_answer(story.responses, story.prompts, story.values)
    assert (found["values"], found["of"], len(found["rows"])) == (list(ALPHAS), 40, 40)
    for (name, text, pictures, different, which), prompt in zip(found["rows"], story.prompts, strict=True):
        assert (name, text, pictures) == (prompt.id, prompt.text, 1)
        assert [different[k] for k in which] == [story.responses[value][name] for value in ALPHAS]
        assert len(different) == len(set(different))
    (report, *_) = write_report(replace(story, seconds={}), RunFolder(tmp_path))
    text = report.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="answers-data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert json.loads(data[1]) == found, "hostile answers end neither the script nor the text"


def test_a_page_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = made_up_story(tmp_path)
    monkeypatch.setattr("adamms.reporting.every_answer.LARGEST", 2000)
    found = every_answer(story.responses, story.prompts, story.values)
    assert 0 < len(found["rows"]) < found["of"] == 40


def test_warnings_say_what_helps_and_the_winner_how_to_use_it(tmp_path: Path) -> None:
    story = made_up_story(tmp_path)
    warning = "no plateau: even the chosen candidate's divergence is 0.90 a prompt, of 1 at most"
    story = replace(story, selection={**story.selection, "warnings": [warning]}, gpu_hours=1.25)
    text = " ".join(Page(write_report(story, RunFolder(tmp_path))[0]).text.split())
    assert "What helps: answers change with every step: ask more prompts" in text
    assert f"adamms push {tmp_path} OWNER/NAME" in text
    assert f"adamms serve {tmp_path}" in text
    assert "AutoModelForImageTextToText" in text
    assert "GPU hours 1.25" in text


@pytest.mark.parametrize("part", ADVICE)
def test_there_is_advice_on_what_a_choice_is_warned_of(part: str) -> None:
    said = [inspect.getsource(module) for module in SPEAKING]
    assert any(part in text for text in said), f"nobody says {part!r} any more"


def test_telling_prompts_speak_for_and_against() -> None:
    prompts = made_up_prompts(4)
    answers = {
        0.0: ("a", "same", "x", "1"),
        0.1: ("b", "same", "y", "2"),
        0.2: ("b", "same", "z", "2"),
        0.3: ("b", "same", "w", "2"),
        0.4: ("c", "same", "v", "2"),
    }  # fmt: skip
    responses = {alpha: {p.id: a for p, a in zip(prompts, row, strict=True)} for alpha, row in answers.items()}
    found = [(one.why, prompts.index(one.prompt)) for one in telling_prompts(responses, prompts, 0.2)]
    assert found == [(STABLE, 0), (STABLE, 3), (UNSTABLE, 2), (SAME, 1)]


def test_a_search_whose_answers_are_gone_is_still_reported(tmp_path: Path) -> None:
    story = replace(made_up_story(tmp_path), responses={})
    assert telling_prompts(story.responses, story.prompts, 0.2) == []
    assert "alpha = " in Page(write_report(story, RunFolder(tmp_path))[0]).text


@pytest.fixture(scope="module")
def tasks_page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Of two tasks, judged by labels beside a baseline."""
    folder = tmp_path_factory.mktemp("tasks")
    story = made_up_story(folder)
    accuracy, unsettled = story.judgements[""]["accuracy"], {**story.selection, "alpha": None, "verdict": "unsettled"}
    judged = {
        "ocr": {"chosen": 0.2, "accuracy": accuracy, "donor": 20.0, "oracle": 0.3, "regret": 3.5},
        "vqa": {"chosen": 0.1, "accuracy": {**accuracy, "0.0": 11.0}, "donor": 30.0, "oracle": 0.3, "regret": 9.0},
    }
    judged["ocr"]["baselines"] = {"ties": 33.25}
    selection = {**story.selection, "tasks": {"ocr": story.selection, "vqa": unsettled}}
    report, *figures = write_report(replace(story, selection=selection, judgements=judged), RunFolder(folder))
    assert {"tasks.png", "accuracy.png"} <= {path.name for path in figures}
    return Page(report)


def test_every_task_is_told_of_by_itself(tasks_page: Page) -> None:
    text = " ".join(tasks_page.text.split())
    # task, alpha, chosen, base, donor, ties, oracle and its alpha, regret
    for row in ("ocr 0.2 44.0 31.0 20.0 33.2 47.5 0.3 3.5", "vqa 0.1 38.5 11.0 30.0 – 47.5 0.3 9.0"):
        assert row in text, row
    assert "mean 41.2 21.0 25.0 – 47.5 6.2" in text
    assert "vqa – unsettled" in text, "how sure each task's own choice is"
    assert "adamms evaluate, mean of 2 tasks" in text, "the curve's accuracy is that of both"
    assert "points from the best" not in text


def test_counts_say_what_they_are_of(tmp_path: Path) -> None:
    story = made_up_story(tmp_path)
    rounds = [{"alphas": [0.0, 0.2], "prompts": 40, "alpha": 0.2}] * 2
    one = {"coefficient": "alpha", "alpha": 0.3, "score": 1.0, "excluded": None, "wins": None}
    several = {"method": "ties", "methods": {"ties": one, "linear": one}}
    effort = {"answers": 300, "of": 400, "saved": 0.25}
    selection = {**story.selection, **several, "rounds": rounds, "effort": effort}
    text = " ".join(Page(write_report(replace(story, selection=selection), RunFolder(tmp_path))[0]).text.split())
    assert "7 candidates in the last of 2 rounds along ties ·" in text
    assert "tokens of all answers in the last of 2 rounds along ties 1610" in text
    assert "answers asked for along ties 300 of 400, 25% saved" in text
    write_choice(run := RunFolder(tmp_path / "run"), {**story.selection, "rounds": rounds})
    (run.merged / "README.md").write_text("# It\n## Licence\n")
    assert "Of 7 values of alpha in the last of 2 rounds, 0.3 was chosen" in published_card(run.merged, run, "me/it")


def test_each_tasks_checkpoint_is_told_of_with_its_commands(tmp_path: Path) -> None:
    made, run = made_up_story(tmp_path), RunFolder(tmp_path)
    tasks = {"ocr": made.selection, "vqa": {**made.selection, "alpha": 0.2}, "none": {**made.selection, "alpha": None}}
    run.write(run.selection, {**made.selection, "tasks": tasks})
    run.write_settings("adamms search", made.settings)
    for task in ("ocr", "vqa"):
        run.write(run.merged / task / RECORD, {})
    story = Story.of(run, made.plan, [], Answers(tmp_path / "responses", {}))
    text = " ".join(Page(write_report(replace(made, checkpoints=story.checkpoints), run)[0]).text.split())
    for task in ("ocr", "vqa"):
        assert f"Checkpoint of {task}: {run.merged / task}" in text
        assert f'place = "{run.merged / task}"' in text
        assert f"adamms serve {tmp_path} --task {task}" in text
        assert f"adamms push {tmp_path} OWNER/NAME --task {task}" in text
    assert "Checkpoint:" not in text
    assert "--task none" not in text


def test_a_report_of_nothing_chosen(tmp_path: Path) -> None:
    story = made_up_story(tmp_path)
    nothing = {**story.selection, "alpha": None, "verdict": "nothing can be chosen"}
    story = replace(story, selection=nothing, judgements={}, seconds={}, checkpoints={})
    report, *_ = write_report(story, RunFolder(tmp_path))
    text = Page(report).text
    assert "Nothing was chosen" in text
    assert "Try smaller or other searching.alphas" in text
    assert "The chosen one is framed" not in text
    assert "% correct" not in text


def test_a_report_names_the_coefficient_that_was_searched(tmp_path: Path) -> None:
    story = made_up_story(tmp_path)
    selection = select(story.responses, coefficient="density").to_json()
    tasks = {"tasks": {"ocr": selection, "vqa": selection}}
    judgements = {"ocr": story.judgements[""], "vqa": story.judgements[""]}
    density = replace(story, selection=selection | tasks, judgements=judgements, settings="merging: {method: ties}")
    report, *_ = write_report(density, RunFolder(tmp_path))
    text = " ".join(Page(report).text.split())
    assert f"density = {density.chosen}" in text
    assert "density (ties)" in text
    assert "alpha" not in text
    assert "ocr 0.3 47.5 – 22.0 47.5 0.3 0.0" in text, "the lowest density is not the base"


@pytest.mark.parametrize(("with_base", "base"), [(True, 31.0), (False, None)])
def test_alpha_0_is_judged_as_the_base_only_where_it_is(tmp_path: Path, with_base: bool, base: float | None) -> None:
    """Of TIES, or beside another donor's weight, it is another model."""
    story = made_up_story(tmp_path)
    (row,) = judged_rows(replace(story, selection={**story.selection, "with_base": with_base}))
    assert row["base"] == base


@pytest.mark.parametrize(("settings", "method"), [("", ""), ("base: x\nmerging:\n  method: ties\n", "ties")])
def test_the_method_is_read_from_the_settings(tmp_path: Path, settings: str, method: str) -> None:
    assert replace(made_up_story(tmp_path), settings=settings).method == method


def test_costs_add_up_over_runs_of_the_command(tmp_path: Path) -> None:
    file = tmp_path / "run" / "costs.json"
    for _ in range(2):
        costs = Costs(file)
        costs.add("answering", 2.5)
        with costs.phase("exporting"):
            pass
        costs.save()
    found = read_costs(file)
    assert found["answering"] == 5.0
    assert list(found) == ["answering", "exporting"]


def test_what_a_search_took_is_kept_where_it_was_interrupted(tmp_path: Path) -> None:
    hours = iter([2.0, 2.5])
    costs = Costs(tmp_path / "costs.json")
    with pytest.raises(KeyboardInterrupt), costs.kept(lambda: next(hours)), costs.phase("answering"):
        raise KeyboardInterrupt
    assert list(read_costs(tmp_path / "costs.json")) == ["answering"]
    assert read_costs(tmp_path / "costs.json", "totals") == {"gpu_hours": 0.5}


def test_labels_that_judged_another_choice_are_not_shown(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    judged = {"accuracy": {"0.2": 40.0, "0.3": 50.0}, "regret": 10.0, "chosen": 0.2}
    own = {"alpha": 0.3, "tasks": {"vqa": {"alpha": 0.2}, "ocr": {"alpha": 0.3}}}
    run.write(run.selection, own)
    run.write(run.evaluation, {"vqa": judged, "ocr": judged})
    assert read_judgements(run) == {"vqa": judged}
    assert accuracy_of(run, "vqa") == judged["accuracy"]
    assert accuracy_of(run, "ocr") == accuracy_of(run, "") == {}, "another task's are not its own"
    run.write(run.selection, {"alpha": 0.2})
    run.write(run.evaluation, judged)
    assert accuracy_of(run, "") == judged["accuracy"]
    run.write(run.selection, {"alpha": 0.25})  # the search went on
    assert read_judgements(run) == {}
    assert accuracy_of(run, "") == {}


def test_a_figure_that_the_page_has_no_place_for_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tokens(story: Story) -> Drawing | None:
        with style():
            figure, axis = new_figure(4, 2)
            axis.plot(list(story.tokens), list(story.tokens.values()))
        return Drawing("tokens", "How long the answers are.", figure)

    monkeypatch.setattr(reports, "FIGURES", [*reports.FIGURES, tokens, lambda story: None])
    report, *figures = write_report(made_up_story(tmp_path), RunFolder(tmp_path))
    page = report.read_text(encoding="utf-8")
    assert tmp_path / "figures" / "tokens.html" in figures
    for name in ("divergence", "answers", "phases"):
        assert page.count(f'<g id="{name}-tip0"') == 1, "the others stand in their places, once"
    assert page.index("<h2>Cost</h2>") < page.index("<h2>More figures</h2>") < page.index("How long the answers are.")
    assert page.count('aria-label="How long the answers are."') == 1


def test_a_page_without_further_figures_does_not_speak_of_them(page: Page) -> None:
    assert "More figures" not in page.text


def test_a_story_is_what_the_run_folder_holds(tmp_path: Path) -> None:
    made, run = made_up_story(tmp_path), RunFolder(tmp_path)
    run.write(run.selection, {**made.selection, "coefficient": "density"})
    run.write(run.costs, {"seconds": SECONDS, "peaks": {"peak_memory_gb": 3.25}})
    run.write(run.evaluation, made.judgements[""])
    run.write_settings("python search.py", made.settings)
    run.write(run.merged / RECORD, {})

    class Stored:
        """Answers by value and prompt."""

        def get(self, value: float, prompt: Prompt) -> ResponseRecord | None:
            text = made.responses[value].get(prompt.id)
            return None if text is None else ResponseRecord(value, prompt.id, text, "", tokens=5)

    story = Story.of(run, made.plan, made.prompts, Stored())  # type: ignore[arg-type]
    assert story.responses == made.responses
    assert story.tokens == dict.fromkeys(ALPHAS, 5 * len(made.prompts))
    assert (story.seconds, story.peaks) == (made.seconds, made.peaks)
    assert (story.command, story.settings) == ("python search.py", made.settings)
    assert story.judgements == made.judgements
    assert story.noise_floor == made.noise_floor == 1.0
    assert story.checkpoints == {"": str(tmp_path / "merged")}
    report, *_ = write_report(story, run)
    assert "density = 0.3" in Page(report).text


@pytest.mark.parametrize(("metric", "floor"), [("either", 12.5), ("sum", 25.0), ("edit", None), ("logprob", None)])
def test_a_noise_floor_is_on_the_scale_of_the_score(metric: str, floor: float | None) -> None:
    """2 of 16 answers differ when asked again: of 100 prompts 12.5, on each side of a candidate."""
    found = {"metric": metric, "noise": {"asked": 16, "differing": 2}, "prompts": {"used": 100}}
    assert noise_floor(found) == floor
