from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

import adamms
import adamms.commands.evaluate
from adamms import cli
from adamms.commands.settings import EvaluateSettings, MergeJobSettings, SearchSettings, SweepSettings
from adamms.config import describe, load_settings
from adamms.judging.judgement import judge
from adamms.prompts.labels import Label
from adamms.tracking.config import TrackingConfig
from tests.support.searches import made_up_story, track_made_up_search
from tests.support.tiny_models import TinyPair


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit status of `adamms ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["adamms", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_merge_equals_an_element_wise_calculation(
    tiny_pair: TinyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "merged"
    assert command(monkeypatch, "merge", tiny_pair.base, tiny_pair.donor, "--alpha", 0.3, "--output", output) == 0
    assert capsys.readouterr().out == f"{output}\n"
    base, donor = (load_file(folder / "model.safetensors") for folder in (tiny_pair.base, tiny_pair.donor))
    merged = load_file(output / "model.safetensors")
    assert merged.keys() == base.keys()
    language = [name for name in base if name.startswith("model.") and "embed_tokens" not in name]
    assert len(language) == 25  # 2 layers of 12, and the last norm
    for name, weight in base.items():
        expected = weight
        if name in language:
            theirs = donor[f"language_{name.replace('model.', 'model.model.', 1)}"]
            expected = (0.7 * weight.double() + 0.3 * theirs.double()).to(torch.bfloat16)
        assert merged[name].dtype == torch.bfloat16
        # float32 arithmetic may round a tie the other way than this float64: one unit in the last place at the most
        torch.testing.assert_close(merged[name], expected, rtol=2**-7, atol=0)
        assert (merged[name] != expected).float().mean() < 0.01


def test_a_dry_run_of_a_merge_writes_nothing(
    tiny_pair: TinyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = "merge", tiny_pair.base, tiny_pair.donor, "--alpha", 0.3, "--output", tmp_path / "merged", "--dry-run"
    assert command(monkeypatch, *given) == 0
    text = capsys.readouterr().out
    assert text.startswith("reads base")
    assert text.endswith("nothing was started, and nothing written\n")
    assert list(tmp_path.iterdir()) == []


def test_map_tells_everything_as_json(
    tiny_pair: TinyPair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "map", tiny_pair.base, tiny_pair.donor, "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert {tensor["name"] for tensor in plan["tensors"]} == load_file(tiny_pair.base / "model.safetensors").keys()
    assert sum(bool(tensor["pieces"]) for tensor in plan["tensors"]) == 25
    assert all(tensor["pieces"] or tensor["reason"] for tensor in plan["tensors"])


def test_select_reads_anybodys_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {0: "aaaa", 0.1: "abaa", 0.2: "abba", 0.3: "abba", 0.4: "abbb"}
    lines = (
        json.dumps({"alpha": alpha, "prompt_id": i, "response": letter})
        for alpha, text in answers.items()
        for i, letter in enumerate(text)
    )
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(lines))
    assert command(monkeypatch, "select", path, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    # 0.2 and 0.3 differ from one neighbour on one prompt each; of a tie the smaller alpha wins
    assert printed["alpha"] == 0.2
    assert printed["scores"] == {"0.0": None, "0.1": 2, "0.2": 1, "0.3": 1, "0.4": None}


def rows(**answers: list[str]) -> str:
    """JSONL of two tasks: `a=["x", "y"]` is what task a answers at alpha 0, 0.1, ..., to three prompts alike."""
    return "".join(
        json.dumps({"alpha": alpha / 10, "prompt_id": f"{task}/{n}", "response": f"{text} {n}"}) + "\n"
        for task, texts in answers.items()
        for alpha, text in enumerate(texts)
        for n in range(3)
    )


def chosen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert command(monkeypatch, "select", "--json", *arguments) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_select_can_be_asked_for_one_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(rows(early=["a", "b", "b", "b", "c", "d"], late=["a", "c", "d", "b", "b", "b"]))
    assert chosen(monkeypatch, capsys, file, "--task", "early")["alpha"] == 0.2
    assert chosen(monkeypatch, capsys, file, "--task", "late")["alpha"] == 0.4
    assert chosen(monkeypatch, capsys, file)["prompts"]["used"] == 6
    assert command(monkeypatch, "select", file, "--task", "none") == 2
    assert "tasks are: early, late" in capsys.readouterr().err


def test_select_takes_the_folder_of_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = track_made_up_search(TrackingConfig(uri=f"sqlite:///{tmp_path / 'mlflow.db'}"), tmp_path / "run")
    (run.tracking / "journal.jsonl").write_text('{"not": "an answer"}\n')
    asked = {"searching.metric": "sum", "searching.coefficient": "density", "searching.endpoints": "one_sided"}
    run.describe("k", "a search", {}, same=asked)
    run.write(run.selection, run.read(run.selection) | {name.partition(".")[2]: value for name, value in asked.items()})
    found = chosen(monkeypatch, capsys, run.folder)
    assert (found["metric"], found["coefficient"], found["endpoints"]) == ("sum", "density", "one_sided")
    assert found["prompts"]["used"] == 40, "its own answers and nothing else were read"
    again = chosen(monkeypatch, capsys, run.folder, "--metric", "either", "--endpoints", "exclude")
    assert again["scores"] == made_up_story(tmp_path).selection["scores"]
    assert command(monkeypatch, "select", run.folder) == 0
    assert "towards the lower neighbour" in capsys.readouterr().out
    sweep = tmp_path / "sweep"
    (sweep / "pair" / "linear").mkdir(parents=True)
    run.about.rename(sweep / "pair" / "linear" / "search.json")
    assert command(monkeypatch, "select", sweep) == 2
    assert "holds 1 searches; give one of them" in capsys.readouterr().err


def test_select_resamples_as_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answers.jsonl"
    texts = {f"t{n}": list(letters) for n, letters in enumerate(["abbbcdef", "abbbcdee", "abbbccde", "abcccdee"])}
    file.write_text(rows(**texts))
    plain = chosen(monkeypatch, capsys, file, "--bootstrap", 0)
    assert plain["bootstrap"] == {}
    assert plain["interval"] is None
    resampled = chosen(monkeypatch, capsys, file, "--bootstrap", 50)
    assert sum(resampled["bootstrap"].values()) == pytest.approx(1)
    assert resampled["scores"] == plain["scores"]


def test_select_goes_by_what_the_search_chose_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "responses").mkdir()
    (tmp_path / "responses" / "a.jsonl").write_text(rows(a=["a", "b", "b", "b", "c", "d"]))
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "journal.jsonl").write_text('{"kind": "open"}\n')
    (tmp_path / "plan.json").write_text("{}")
    assert chosen(monkeypatch, capsys, tmp_path)["alpha"] == 0.2


def test_further_donors_follow_the_first(
    tiny_pair: TinyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tiny_pair.base, tiny_pair.donor, tiny_pair.ancestor
    assert command(monkeypatch, "map", *models, "mapping.embeddings=keep", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert [Path(donor["location"]) for donor in plan["donors"]] == [*models[1:]]
    output = tmp_path / "out"
    assert command(monkeypatch, "merge", *models, "--alpha", "0.3,0.2", "--output", output) == 0
    found = load_file(output / "model.safetensors")
    each = [load_file(folder / "model.safetensors") for folder in models]
    rows = next(t for t in plan["tensors"] if t["name"].endswith("layers.0.mlp.down_proj.weight"))
    (piece,) = rows["pieces"]
    by_donor = {one["donor"]: each[1 + one["donor"]][one["tensor"]] for one in piece["sources"]}
    wanted = 0.5 * each[0][rows["name"]] + 0.3 * by_donor[0] + 0.2 * by_donor[1]
    torch.testing.assert_close(found[rows["name"]], wanted.to(found[rows["name"]].dtype), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["map", "/no/such", "{donor}"], "/no/such: no such folder"),
        (["merge", "{base}", "{donor}", "--alpha", "1.5", "--output", "{out}"], "alpha=1.5"),
        (["merge", "{base}", "{donor}", "--alpha", "nan", "--output", "{out}"], "alpha=nan"),
        (["merge", "{base}", "{donor}", "--alpha", "0.5", "--output", "{base}"], "already exists"),
        (["merge", "{base}", "{donor}", "--alpha", "0.5", "--output", "{out}", "x=1"], "x=1: Key 'x' not in"),
        (["merge", "{base}", "{donor}", "--alpha", "0.5", "--output", "{out}", "--method", "magic"], "magic: unknown"),
        (["merge", "{base}", "{donor}", "--alpha", "0.3;0.2", "--output", "{out}"], "alpha=0.3;0.2: expected"),
        (["merge", "{base}", "{donor}", "/no/such", "--alpha", "0.3", "--output", "{out}"], "1 weight for 2 donors"),
        (["merge", "{base}", "{donor}", "/no/such", "--alpha", "0.3,0.8", "--output", "{out}"], "at most 1 together"),
        (["map", "{base}", "{donor}", "/no/such", "mapping.duplicates=keep"], "/no/such: no such folder"),
        (["select", "/no/such"], "/no/such"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    tiny_pair: TinyPair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    names = {"base": tiny_pair.base, "donor": tiny_pair.donor, "out": tmp_path / "out"}
    assert command(monkeypatch, *(argument.format(**names) for argument in arguments)) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert message in line
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    """`adamms --help` answers at once: no torch, ray, vllm, transformers or mlflow."""
    heavy = ("torch", "ray", "vllm", "transformers", "mlflow", "numpy")
    code = f"import sys, adamms.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("number", "status"), [(errno.ENOSPC, 2), (errno.EDQUOT, 2), (errno.EACCES, 2), (errno.EIO, 1)]
)
def test_a_full_disk_or_a_closed_one_can_be_mended(
    capsys: pytest.CaptureFixture[str], number: int, status: int
) -> None:
    def entry() -> None:
        raise OSError(number, os.strerror(number), "/run/responses")

    with pytest.raises(SystemExit) as ended:
        cli.run_as_command(entry)
    assert ended.value.code == status
    if status == 2:
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: /run/responses: ")
        assert ("give another path" if number == errno.EACCES else "make room") in line


ENDS = """
from adamms import cli
from adamms.errors import UserError

@cli.app.command("ends")
def ends(how: str, debug: cli.Debug = False) -> None:
    if how == "interrupted":
        raise KeyboardInterrupt
    raise {"fault": RuntimeError, "user": UserError}[how]("http://me:s3cr3t@host does not answer")

cli.main()
"""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["fault"], 1, "RuntimeError: http://***@host does not answer"),
        (["user"], 2, "error: http://***@host does not answer"),
        (["user", "--debug"], 2, "adamms.errors.UserError: http://***@host does not answer"),
        (["interrupted"], 130, "interrupted; the same command goes on where it stopped"),
    ],
)
def test_how_a_command_ends_is_said_without_secrets(arguments: list[str], status: int, said: str) -> None:
    """In a process of its own, because Typer changes what Python does with an error that nobody takes."""
    program = [sys.executable, "-c", ENDS, "ends", *arguments]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    lines = ended.stderr.splitlines()
    assert (ended.returncode, lines[-1]) == (status, said)
    assert (len(lines) > 1) == (said.split()[0].endswith("Error:")), "a traceback or a line"
    assert "s3cr3t" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(("method", "base"), [("linear", True), ("ties", False)])
def test_what_is_judged_names_the_base_where_alpha_0_is_it(
    method: str, base: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {task: judge(0.2, {}, {0.0: {"l": "no"}, 0.2: {"l": "yes"}}, {"l": Label(("yes",))}) for task in "ab"}
    monkeypatch.setattr(adamms.commands.evaluate, "evaluate", lambda settings: found)
    given = "base=a", "donor=b", "run_dir=run", f"merging.method={method}"
    assert command(monkeypatch, "evaluate", *given) == 0
    assert ("\nbase " in capsys.readouterr().out) == base


def test_version_settings_and_the_configuration_can_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"{adamms.__version__}\n"
    assert command(monkeypatch, "search", "--settings") == 0
    listed = capsys.readouterr().out
    for line in ("prompts.n=100  (int)", "searching.stop=never  (never | confident)", "merging.options={}"):
        assert line in listed
    assert "How many prompts are drawn for each task" in listed
    assert "density=0.2  (a number from 0 to 1)" in listed, "the coefficients of methods too"
    assert command(monkeypatch, "search", "--config", "demo", "--print-config", "prompts.n=7") == 0
    printed = OmegaConf.create(capsys.readouterr().out)
    assert (printed.prompts.n, printed.tracking.experiment) == (7, "demo")


def test_defaults_are_those_of_the_command() -> None:
    """Also where a command has others than the class that a group of its settings is of."""

    def told(kind: type) -> dict[str, str]:
        return {one.key: one.default for one in describe(kind)}

    given = {"base": "b", "donor": "d"}
    assert told(EvaluateSettings)["labelled.n"] == str(load_settings(EvaluateSettings, None, [], given).labelled.n)
    sweep = load_settings(SweepSettings, None, [], {"sweep": {"pairs": {"one": given}}})
    assert told(SweepSettings)["tracking.experiment"] == sweep.tracking.experiment
    assert told(SearchSettings)["tracking.experiment"] != sweep.tracking.experiment


def test_results_go_to_one_folder_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {"base": "b", "donor": "d", "run_dir": "~/runs/x"}
    assert load_settings(SearchSettings, None, [], given).run_dir == f"{tmp_path}/runs/x"
    sweep = load_settings(SweepSettings, None, ["run_dir=~/s"], {"sweep": {"pairs": {"one": {}}}})
    assert sweep.run_dir == f"{tmp_path}/s"


def test_every_setting_is_described() -> None:
    kinds = (SearchSettings, SweepSettings, EvaluateSettings, MergeJobSettings)
    bare = {one.key for kind in kinds for one in describe(kind) if not one.text}
    assert bare == set()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("prompts.n=many", "error: prompts.n=many: Value 'many'"),
        ("engine.actors=0", "error: engine.actors=0: expected at least 1"),
        ("searching.alphas=[a]", "error: searching.alphas=[a]: one of its values could not be converted to Float"),
        ("serching.block=3", "error: serching.block=3: serching: Key 'serching'"),
        ("merging.density=0.2", "is now called merging.options.density"),
        ("merging.options.volume=3", "merging.options.volume: linear has no coefficient volume"),
    ],
)
def test_a_bad_override_is_named_itself(
    tiny_pair: TinyPair,
    prompt_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    override: str,
    message: str,
) -> None:
    own = [f"base={tiny_pair.base}", f"donor={tiny_pair.donor}", f"prompts.path={prompt_file}"]
    assert command(monkeypatch, "search", *own, override) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
