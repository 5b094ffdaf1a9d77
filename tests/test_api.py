"""The Python API as a notebook uses it, and from a wheel in an empty folder, where nothing is left but `run_dir`."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

import adamms
from adamms.demo import PAIR
from adamms.prompts.prompt import load_prompts
from tests.conftest import data_uri
from tests.support.tiny_models import TinyPair

ROOT = Path(__file__).parents[1]
FAST = {
    "engine": {"max_tokens": 4, "cpus": 1},
    "searching": {"metric": "either", "alphas": [0.0, 0.3, 0.6], "noise": 0},
}


def test_plan_merge_and_select_are_the_commands(tiny_pair: TinyPair, tmp_path: Path) -> None:
    plan = adamms.plan(tiny_pair.base, tiny_pair.donor)
    assert len(plan.merged) == 25
    merged = adamms.merge(tiny_pair.base, tiny_pair.donor, alpha=0.3, output=tmp_path / "merged")
    record = json.loads((merged / "adamms.json").read_text())
    assert (record["plan"], record["recipe"]) == (plan.fingerprint, {"method": "linear", "alpha": 0.3})
    answers = {0: "aaaa", 0.1: "abaa", 0.2: "abba", 0.3: "abba", 0.4: "abbb"}
    rows = [{"alpha": a, "prompt_id": i, "response": x} for a, text in answers.items() for i, x in enumerate(text)]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert adamms.select(tmp_path / "answers.jsonl", "either").chosen == 0.2
    with pytest.raises(adamms.UserError, match="no such folder"):
        adamms.plan(tiny_pair.base, "/no/such")


@pytest.mark.usefixtures("local_ray")
def test_a_search_is_five_lines_and_can_go_on(
    tiny_pair: TinyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prompts = ["Who is there?", {"prompt": "What is it?", "id": "what"}, "Where?"]
    found = adamms.search(tiny_pair.base, tiny_pair.donor, prompts=prompts, run_dir="run", n=3, **FAST)
    assert found.alpha == 0.3
    assert found.scores.keys() == {0.0, 0.3, 0.6}
    assert found.checkpoint == Path("run/merged")
    assert found.verdict == json.loads((tmp_path / "run" / "selection.json").read_text())["verdict"]
    assert (found.method, found.weights) == ("", {})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not (tmp_path / "run" / "mlflow.db").exists(), "nothing is tracked unless it is asked for"
    stored = [line for file in (tmp_path / "run" / "responses").glob("*.jsonl") for line in file.open()]
    assert len(stored) == 3 * 3
    again = adamms.search(tiny_pair.base, tiny_pair.donor, prompts=prompts, run_dir="run", n=3, **FAST)
    assert again.scores == found.scores
    assert len(list((tmp_path / "run" / "responses").glob("*.jsonl"))) == 1, "nothing was asked again"


def test_prompts_with_secrets_are_not_kept(tiny_pair: TinyPair, tmp_path: Path) -> None:
    rows = ["fine", {"prompt": "?", "images": ["https://me:s3cr3t@host/a.png"]}]
    with pytest.raises(adamms.UserError, match=r"prompts.1.: an address in it holds a secret"):
        adamms.search(tiny_pair.base, tiny_pair.donor, prompts=rows, run_dir=tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The settings that searches and sweeps are asked with; nothing runs."""
    found: list[Any] = []

    def stop(settings: Any, *_: object) -> None:
        found.append(settings)
        raise adamms.UserError("as far as this goes")

    for name in ("search", "sweep"):
        monkeypatch.setattr(f"adamms.commands.{name}.{name}", stop)
    return found


def test_a_pair_of_a_sweep_is_a_file_however_it_is_given(asked: list[Any], tmp_path: Path) -> None:
    pairs = {"a": Path("pairs/a.yaml"), "b": "pairs/b.yaml", "c": {"base": "x", "donor": "y"}}
    with pytest.raises(adamms.UserError, match="as far as"):
        adamms.sweep(pairs, run_dir=tmp_path)
    assert asked[0].sweep.pairs == {"a": "pairs/a.yaml", "b": "pairs/b.yaml", "c": {"base": "x", "donor": "y"}}


def test_prompts_may_be_given_by_their_settings(asked: list[Any], tmp_path: Path) -> None:
    for given in ({"path": "p.jsonl", "suffix": " Say."}, {"tasks": {"ocr": Path("o.jsonl")}, "n": 7}):
        with pytest.raises(adamms.UserError, match="as far as"):
            adamms.search("a", "b", prompts=given, run_dir=tmp_path / "run", n=5)
    first, second = (settings.prompts for settings in asked)
    assert (first.path, first.suffix, first.n) == ("p.jsonl", " Say.", 5)
    assert (second.path, second.tasks, second.n) == ("", {"ocr": "o.jsonl"}, 7)
    assert not (tmp_path / "run").exists(), "settings are no prompts to keep"
    with pytest.raises(adamms.UserError, match="suffux"):
        adamms.search("a", "b", prompts={"path": "p.jsonl", "suffux": "?"}, run_dir=tmp_path)


def test_pictures_of_prompts_lie_where_the_caller_is(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = data_uri((9, 9, 9))
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.png").write_bytes(base64.b64decode(uri.partition(",")[2]))
    rows = [
        {"prompt": "?", "images": ["pics/a.png", uri]},
        {"prompt": "!", "image": Path("pics/a.png")},
        {"prompt": ".", "images": ({"path": "pics/a.png"},)},
        {"prompt": ",", "images": ["https://host/a.png"], "id": "far"},
    ]
    with pytest.raises(adamms.UserError, match="as far as"):
        adamms.search("a", "b", prompts=rows, run_dir="run")
    *kept, far = (tmp_path / "run" / "asked.jsonl").read_text().splitlines()
    assert json.loads(far) == rows[3]
    (tmp_path / "run" / "asked.jsonl").write_text("\n".join(kept))
    assert [len(prompt.images) for prompt in load_prompts(asked[0].prompts)] == [2, 1, 1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel, and what it needs from the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = [str(Path(sys.executable).with_name("uv"))]
    subprocess.run([*uv, "build", "--wheel", "--quiet", "--out-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("adamms-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python), str(wheel)], check=True)
    packages = Path(next(path for path in sys.path if path.endswith("site-packages")))
    (own,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # what else is installed here, but not the clone that this environment points to
    (own / "others.pth").write_text(f"{packages}\n")
    return python


@pytest.mark.slow  # builds a wheel, and searches three times
def test_a_wheel_searches_in_an_empty_folder_and_leaves_nothing_but_the_run(installed: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}
    few = ["prompts.n=6", "searching.alphas=[0,0.3,0.6]", "searching.noise=0"]

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(installed), *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(ROOT) not in run("-c", "import adamms; print(adamms.__file__)")
    assert "<- chosen" in run("-m", "adamms", "search", "--config", "demo", *few, "run_dir=demo")
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    pair = Path(run("-c", "from adamms.demo import PAIR; print(PAIR)").strip())
    models = [
        f"base={pair / 'base'}",
        f"donor={pair / 'donor'}",
        f"prompts.path={pair / 'prompts' / 'row-french.jsonl'}",
    ]
    run("-m", "adamms", "search", *models, *few, "engine.max_tokens=16", "run_dir=run")
    program = """
import adamms
from adamms.demo import PAIR

found = adamms.search(PAIR / "base", PAIR / "donor", prompts=PAIR / "prompts" / "row-french.jsonl", run_dir="api", n=6,
                      engine={"max_tokens": 16}, searching={"alphas": [0, 0.3, 0.6], "noise": 0})
print(found.alpha, found.checkpoint)
"""
    told = run("-c", program)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["api", "demo", "run"]
    by_command, by_api = (json.loads((tmp_path / name / "selection.json").read_text()) for name in ("run", "api"))
    assert by_command["scores"] == by_api["scores"]
    assert told == f"{by_command['alpha']} api/merged\n"


def test_the_shipped_pair_is_named_by_a_word() -> None:
    from adamms.commands.settings import SearchSettings
    from adamms.config import load_settings

    settings = load_settings(SearchSettings, Path("demo"), [])
    assert Path(settings.base) == PAIR / "base"
    with pytest.raises(adamms.UserError, match="nothing: no such file; give a YAML file"):
        load_settings(SearchSettings, Path("nothing"), [])
