"""A dry run: it says what a search would do, starts nothing and writes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from adamms.checkpoint import open_checkpoint
from adamms.checkpoint.checkpoint import total_bytes
from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.engines.engine import Answer
from adamms.merging.to_disk import size
from adamms.prompts.prompt import Prompt
from adamms.searching.preparing import prepare
from adamms.searching.rehearsal import GPUS, Rehearsal, guess_time, lines_of, rehearse, rehearse_search
from adamms.searching.study import ITSELF
from tests.support.tiny_models import TinyPair, write_prompts


@pytest.fixture(scope="module")
def found(tiny_pair: TinyPair, prompt_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    folder = tmp_path_factory.mktemp("dry") / "run"
    given = {"base": str(tiny_pair.base), "donor": str(tiny_pair.donor), "run_dir": str(folder)}
    given |= {"prompts": {"path": str(prompt_file)}, "engine": {"kind": "transformers", "max_tokens": 4}}  # type: ignore[dict-item]
    rehearsal = rehearse(load_settings(SearchSettings, None, ["searching.metric=either"], given))
    assert not folder.exists(), "nothing was written"
    return rehearsal


def test_a_dry_run_says_what_would_be_done(found: Rehearsal, tiny_pair: TinyPair) -> None:
    text = "\n".join(f"{title} {said}" for title, said in lines_of(found))
    for part in (
        f"reads base {tiny_pair.base}",
        "84 answers (7 values of alpha x 12 prompts); at most 336 tokens",
        "engine transformers, 1 of CPU",
        "GB of memory, each engine",
        f"1 checkpoint, {size(total_bytes(open_checkpoint(str(tiny_pair.base)).tensors.values()))} (",
        "nothing was started, and nothing written",
    ):
        assert part in text, part
    assert "trouble" not in text


def test_of_several_donors_it_tells_of_the_lines(tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path) -> None:
    given = {"base": str(tiny_pair.base), "donors": [str(tiny_pair.donor), str(tiny_pair.ancestor)]}
    own = {"prompts": {"path": str(prompt_file)}, "engine": {"kind": "transformers"}, "run_dir": str(tmp_path / "run")}
    settings = load_settings(SearchSettings, None, [], given, own, {"budget": {"candidates": 20}})
    text = "\n".join(f"{title} {said}" for title, said in rehearse_search(settings))
    for part in (
        f"reads donor 2 {tiny_pair.ancestor}",
        "84 answers (7 values of alpha x 12 prompts)",
        "lines 5 such lines at most, along one donor's weight each: 31 sets of weights, or 20 (budget.candidates)",
        "one checkpoint is written, of the weights that win",
    ):
        assert part in text, part
    tried = {"searching": {"trials": 9, "passes": 0}, "budget": {"candidates": 16}}
    text = "\n".join(said for _, said in rehearse_search(load_settings(SearchSettings, None, [], given, own, tried)))
    assert (
        "9 sets of weights that a surrogate proposes, then 2 such lines at most, along one donor's weight each: "
        "21 sets of weights, or 16 (budget.candidates)"
    ) in text, "one line for each donor, of 6 further weights"
    assert not (tmp_path / "run").exists()


def test_time_grows_with_what_is_asked_and_gpus_cost(found: Rehearsal) -> None:
    slow = guess_time(found, tokens=1000)
    assert guess_time(found, tokens=2000).total > slow.total
    assert slow.gpu_hours == 0
    on_gpu = replace(found, device=GPUS["H100"])
    held = guess_time(on_gpu, tokens=1000)
    assert held.gpus == 1
    assert held.gpu_hours == pytest.approx((held.total - held.seconds["exporting"]) / 3600)
    nothing_left = guess_time(replace(found, stored=found.asked), tokens=1000)
    assert nothing_left.seconds["answering"] == 0
    assert not nothing_left.measured


def test_what_was_measured_in_the_folder_counts(found: Rehearsal) -> None:
    run = found.study.run
    run.write(run.candidates / "0.1.json", {"generate_seconds": 30.0, "answers": 12})
    try:
        guess = guess_time(found, tokens=1000)
    finally:
        (run.candidates / "0.1.json").unlink()
    assert guess.measured
    assert guess.seconds["answering"] == pytest.approx(84 * 2.5)


def test_only_answers_that_were_timed_say_what_one_takes(found: Rehearsal) -> None:
    """A search that was killed and went on: its last run took 30 seconds for 2 of 12 answers."""
    run = found.study.run
    run.write(run.candidates / "0.1.json", {"generate_seconds": 30.0, "answers": 12, "timed": 2})
    try:
        guess = guess_time(found, tokens=1000)
    finally:
        (run.candidates / "0.1.json").unlink()
    assert guess.seconds["answering"] == pytest.approx(84 * 15)


def test_of_a_finished_search_nothing_is_left_to_ask(tiny_pair: TinyPair, tmp_path: Path) -> None:
    """It left out what does not fit, had labels, and asked two donors themselves."""
    texts = [f"What is {n}?" for n in range(12)]
    prompts = write_prompts(tmp_path / "prompts.jsonl", [Prompt(one, one) for one in [*texts, "too long " * 2000]])
    labels = tmp_path / "labels.jsonl"
    labels.write_text("".join(json.dumps({"prompt": f"And {one}", "answer": "x"}) + "\n" for one in texts[:4]))
    given = {"base": str(tiny_pair.base), "donors": [str(tiny_pair.donor), str(tiny_pair.ancestor)]}
    own = {"prompts": {"path": str(prompts), "on_error": "skip"}, "engine": {"kind": "transformers"}}
    searching = {"metric": "donor", "labels": str(labels), "donor": 1, "alpha": "0,0.2", "alphas": [0.0, 0.2, 0.4]}
    more = {"searching": searching, "run_dir": str(tmp_path / "run")}
    settings = load_settings(SearchSettings, None, [], given, own, more)
    search = prepare(settings)
    assert search.labelled is not None
    assert len(search.prompts) == 12
    labelled, answered = search.labelled
    places = [(search.answers, search.values, search.prompts), (answered, search.values, labelled.prompts)]
    places += [(answers, [ITSELF], search.prompts) for _, answers in search.donors]
    for answers, values, asked in places:
        for value in values:
            answers.save(value, asked, [Answer(one.id, "x", (1,), "stop") for one in asked])
    search.run.describe("key", "name", {}, same=search.same)
    search.run.write(search.run.selection, {"alpha": 0.2})
    found = rehearse(settings)
    assert found.trouble == ()
    assert (found.stored, found.asked) == (3 * 12 + 2 * 12 + 3 * 4, 3 * 12 + 2 * 12 + 3 * 4)
    assert found.guess.seconds["answering"] == 0
    text = "\n".join(said for _, said in lines_of(found))
    assert "72 answers (3 values of alpha and 2 donors themselves x 12 prompts and 4 labelled ones), 72 of them" in text


def test_each_method_of_several_is_told_of(tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path) -> None:
    given = {"base": str(tiny_pair.base), "donor": str(tiny_pair.donor), "ancestor": str(tiny_pair.ancestor)}
    given |= {"prompts": {"path": str(prompt_file)}, "run_dir": str(tmp_path / "run")}  # type: ignore[dict-item]
    given |= {"searching": {"methods": ["linear", "ties"], "metric": "logprob", "grids": {"ties": [0.2, 0.4, 0.6]}}}  # type: ignore[dict-item]
    text = "\n".join(" ".join(line) for line in rehearse_search(load_settings(SearchSettings, None, [], given)))
    assert text.index("linear") < text.index("(7 values of alpha x 12 prompts)") < text.index("(3 values of alpha x 12")
    assert "reads ancestor" in text
    assert text.endswith("one checkpoint is written, of the method that wins")
    assert not (tmp_path / "run").exists()
