"""Every place where something foreign comes in, each with cases that try to break it.

A door writes its case's files and gives what is then let in, watched by `guard.attempt`.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import shutil
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from adamms.addresses import mask, masked, short_name
from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.checkpoint.safetensors_file import parse_header
from adamms.cli import app, run_as_command
from adamms.errors import UserError
from adamms.mapping import PlannedPair, plan_merge
from adamms.mapping.architecture import FOLDER, load_architecture
from adamms.mapping.config import MappingConfig
from adamms.mapping.vocabulary import read_vocabulary
from adamms.merging import Recipe
from adamms.merging.companions import not_ours, was_merged_as, write_model_card
from adamms.prompts.config import PromptsConfig
from adamms.prompts.images import read_image
from adamms.prompts.prompt import Prompt, load_prompts
from adamms.runs.answers import Answers
from adamms.runs.costs import read_costs
from adamms.runs.responses import read_responses
from adamms.runs.run_folder import RunFolder
from adamms.runs.store import GrowingStore
from adamms.selecting.selection import select
from adamms.tracking.contents import items_of
from tests.fuzz.guard import refusal
from tests.fuzz.values import JSON, NESTED, TEXT, damaged, pictures, spelled, with_others
from tests.support import checkpoints as c
from tests.support.searches import made_up_plan, made_up_selection

Enter = Callable[[], Any]


@dataclass(frozen=True)
class Door:
    """A way in.

    Attributes:
        cases: what is tried.
        open: writes a case's files into a folder; gives what lets it in.
        share: of all cases, relative to other doors'.
        output: the name of the only folder within that may be written to.
    """

    cases: st.SearchStrategy[Any]
    open: Callable[[Any, Path], Enter]
    share: float = 1.0
    output: str = ""


def put(folder: Path, **files: bytes) -> Path:
    """Writes files into an empty folder; `__` in a name is a dot."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


# ---- checkpoints

ENTRY = with_others({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}) | JSON
HEADER = st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]) | TEXT, ENTRY, max_size=4).map(spelled)


def framed(header: bytes, size: int, data: bytes = bytes(16)) -> bytes:
    return struct.pack("<Q", max(len(header) + size, 0)) + header + data


HEADERS = st.builds(framed, HEADER | damaged(HEADER) | NESTED.map(str.encode), st.just(0) | st.integers(-4, 4))
HEADERS |= st.binary(max_size=40)
GOOD_HEADER = framed(spelled({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}), 0, bytes(8))


def open_header(data: bytes, folder: Path) -> Enter:
    return lambda: parse_header(folder / "x.safetensors", len(data), lambda start, stop: data[start:stop])


WEIGHT_MAP = st.dictionaries(st.just("a") | TEXT, st.just("x.safetensors") | JSON, max_size=3)
INDICES = (with_others({"weight_map": {"a": "x.safetensors"}}, WEIGHT_MAP | JSON) | JSON).map(spelled)


def open_index(index: bytes, folder: Path) -> Enter:
    put(folder, config__json=b"{}", x__safetensors=GOOD_HEADER, model__safetensors__index__json=index)
    return lambda: open_checkpoint(str(folder))


CONFIG_VALUES = JSON | st.sampled_from([0, 1, 2, 3, 4, 6, 24, 2**30]) | st.just(c.GQA.config)
CONFIG_NAMES = {"text_config": {}, "rope_scaling": {}, "rope_parameters": {}, "architectures": [], "auto_map": {}}
MODEL_TYPES = ["qwen2", "internlm2", "phi3", "molmo", "cogvlm", "llava", "internvl", "glm4", "gemma3", None, 3]
CONFIGS = st.tuples(
    with_others({**c.GQA.config, **CONFIG_NAMES}, CONFIG_VALUES), st.sampled_from(MODEL_TYPES), damaged(st.just(b""))
)


def open_config(case: tuple[dict[str, Any], Any, bytes], folder: Path) -> Enter:
    config, model_type, rest = case
    if not folder.exists():
        weights = c.language_model()
        names = c.internlm2_names()(weights, c.GQA), c.phi3_names(weights, c.GQA), c.llama_names()(weights, c.GQA)
        c.write_checkpoint(folder, {name: value for part in names for name, value in part.items()}, {})
    (folder / "config.json").write_bytes(spelled({**config, "model_type": model_type}) + rest)

    def enter() -> None:
        model = Checkpoint(folder)
        plan_merge(model, model, MappingConfig())

    return enter


TOKENS = st.lists(with_others({"id": 3, "content": "<x>"}), max_size=2)
TOKENIZER = with_others({"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 2, "content": "<x>"}]})
TOKENIZER |= st.fixed_dictionaries({"model": with_others({"vocab": {"a": 0}}), "added_tokens": TOKENS | JSON})
TOKENIZERS = st.dictionaries(
    st.sampled_from(["tokenizer__json", "vocab__json", "added_tokens__json", "tokenizer_config__json"]),
    damaged(TOKENIZER.map(spelled)) | TOKENIZER.map(spelled) | JSON.map(spelled) | NESTED.map(str.encode),
    min_size=1,
    max_size=3,
)
TOKENIZERS |= st.builds(lambda data: {"tokenizer__model": data}, st.binary(max_size=40))


def open_tokenizer(files: dict[str, bytes], folder: Path) -> Enter:
    put(folder, **files)
    return lambda: read_vocabulary(folder)


@cache
def architecture_files() -> list[bytes]:
    return [path.read_bytes() for path in sorted(FOLDER.glob("*.yaml"))]


ARCHITECTURES = damaged(st.deferred(lambda: st.sampled_from(architecture_files()))) | JSON.map(spelled)


def open_architecture(text: bytes, folder: Path) -> Enter:
    put(folder, a__yaml=text)
    return lambda: load_architecture(folder / "a.yaml")


# ---- cards

YAML = st.sampled_from(
    ["license: x", "license: [a, b]", "license: &a [*a]", "license: !!int ''", "language: {a: b}", "? [a]\n: b", "- a",
     "license: !!timestamp x", "license: 2024-99-99", "license: \"\\ud800\"", "!!set {a}", "a: b: c", "%TAG ! x"]
)  # fmt: skip
CARDS = st.lists(YAML | TEXT | JSON.map(lambda value: f"license: {json.dumps(value)}"), max_size=3)
PLACES = TEXT | st.sampled_from(["models/a`b", "a\n# b", "https://me:s3cr3t@host/m", "owner/name@main"])


def open_card(case: tuple[list[str], str, str], folder: Path) -> Enter:
    lines, place, note = case
    text = "---\n" + "\n".join(lines) + "\n---\n# card"
    put(folder / "base", config__json=b"{}", README__md=text.encode("utf-8", "surrogatepass"))
    put(folder / "out")
    plan = made_up_plan(donor=place or "x", base=str(folder / "base"))
    plan.__dict__["notes"] = (note,)

    def enter() -> None:
        donor = Checkpoint(folder / "base", place or "x")
        pair = PlannedPair(plan, Checkpoint(folder / "base"), (donor,))
        write_model_card(pair, Recipe(), folder / "out")
        written = (folder / "out" / "README.md").read_text("utf-8")
        assert "s3cr3t" not in written
        assert sum(line.startswith("# ") for line in written.splitlines()) == 1, written

    return enter


# ---- prompts and pictures

GOOD_PICTURE = "data:image/png;base64," + base64.b64encode(pictures()[0]).decode()
REFERENCES = st.sampled_from(
    [GOOD_PICTURE, "gone.png", "~nosuch/x", "/dev/zero", "/dev/null", ".", "data:,", "data:;base64,AA", "s3://b/x",
     "zip://x", "reference://x", "gibberish://x", "file:///dev/zero", "memory://gone", "sftp://host/x", "a::b://c"]
)  # fmt: skip
IMAGES = REFERENCES | JSON | st.lists(REFERENCES | JSON, max_size=2) | with_others({"bytes": None, "path": "gone.png"})
LINE = with_others({"id": 1, "prompt": "What?", "images": [GOOD_PICTURE]}, IMAGES | JSON) | JSON
LINES = st.lists(LINE.map(spelled) | damaged(LINE.map(spelled)) | NESTED.map(str.encode), max_size=4)
PROMPTS = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]), LINES, st.sampled_from(["skip", "fail"]), st.sampled_from([b"\n", b"\r\n"])
)


def open_prompts(case: tuple[bytes, list[bytes], Any, bytes], folder: Path) -> Enter:
    mark, lines, on_error, end = case
    put(folder, p__jsonl=mark + end.join(lines))

    def enter() -> None:
        for prompt in load_prompts(PromptsConfig(path=str(folder / "p.jsonl"), n=3, on_error=on_error)):
            assert prompt.digest
            prompt.pictures()

    return enter


def open_picture(image: Any, folder: Path) -> Enter:
    def enter() -> None:
        with contextlib.suppress(OSError, ValueError):  # what a prompt that has it is left out for
            read_image(image, folder)

    return enter


# ---- answers and run folders

ANSWER = with_others({"alpha": 0.1, "prompt_id": "a", "response": "b", "key": "k", "tokens": 3, "logprobs": [-0.1]})
SAMPLE = with_others({"doc_id": 1, "filtered_resps": ["a"], "resps": [["a"]], "alpha": 0.2})
ROW = (ANSWER | SAMPLE | JSON).map(spelled) | damaged(ANSWER.map(spelled)) | NESTED.map(str.encode)
ROWS = st.lists(ROW, max_size=5)
GOOD_ROWS = [spelled({"alpha": a, "prompt_id": p, "response": f"{a > 0.1}{p}"}) for a in (0.0, 0.1, 0.2) for p in "ab"]
METRICS = st.sampled_from(["either", "sum", "edit", "plurality", "logprob", "kl", "either+edit", "odd"])


def open_responses(case: tuple[list[bytes], str], folder: Path) -> Enter:
    rows, metric = case
    put(folder, r__jsonl=b"\n".join([*GOOD_ROWS, *rows]))

    def enter() -> None:
        chosen = select(read_responses(folder), metric, bootstrap=0)
        json.dumps(chosen.to_json())

    return enter


@cache
def run_files() -> dict[str, Any]:
    """A good one of every file in a run folder."""
    selection = made_up_selection()
    prompts = [{"id": "a", "prompt": "?", "images": 1, "digest": "d"}]
    candidate = {"value": 0.3, "answers": 3, "tokens": 9, "digest": "d", "move_seconds": 1.0, "generate_seconds": 1.0,
                 "measured": {"decoded_tokens": 3}, "error": None, "ended": 3}  # fmt: skip
    return {
        "search.json": {"key": "k", "name": "n", "params": {"coefficient": "alpha"}, "parent": None},
        "status.json": {"status": "FINISHED", "started": 1, "ended": 2},
        "prompts.json": {"": {"source": "p.jsonl", "seed": 0, "prompts": prompts}},
        "selection.json": selection,
        "scores.json": {"0.3": {"either": 3.0}},
        "noise.json": {"asked": 3, "differing": 1},
        "costs.json": {"seconds": {"answering": 3.0}, "peaks": {"peak_memory_gb": 1.0}},
        "evaluation.json": {"chosen": 0.3, "accuracy": {"0.3": 50.0}, "donor": None, "oracle": 0.3, "regret": 0.0},
        "sweep.json": [{"status": "finished", "divergence": 0.1, "tasks": {}, "warnings": []}],
        "lmms-eval.json": {"mmmu/acc": 0.5},
        "candidates/0.3.json": candidate,
        "merged/adamms.json": {"adamms": "1", "plan": "p", "recipe": {"method": "linear", "alpha": 0.3}},
        "responses/engine.json": {"kind": "vllm", "dtype": "float32", "device": "cpu", "versions": {"torch": "2"}},
    }


@st.composite
def broken_run(draw: st.DrawFn) -> dict[str, bytes]:
    good = run_files()
    found = {name: spelled(value) for name, value in good.items()}
    for name in draw(st.lists(st.sampled_from(sorted(good)), min_size=1, max_size=3)):
        other = with_others(good[name]) if isinstance(good[name], dict) else JSON
        found[name] = draw((other | JSON).map(spelled) | damaged(st.just(found[name])) | NESTED.map(str.encode))
    return found


def open_run(files: dict[str, bytes], folder: Path) -> Enter:
    folder /= "run"
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    run = RunFolder(folder)
    ways = [
        partial(items_of, run, GrowingStore(folder / "responses")),
        partial(read_costs, run.costs),
        partial(Answers, folder / "responses", {}),
        partial(run.set_status, "RUNNING"),
        partial(not_ours, run.merged),
        partial(was_merged_as, run.merged, made_up_plan(), Recipe()),
        partial(run.read, run.noise),
    ]

    def enter() -> None:
        for way in ways:
            assert "\n" not in refusal(way)

    return enter


# ---- chat templates

PIECES = st.sampled_from(
    ["{% for m in messages %}", "{% endfor %}", "{{ m.content }}", "{{ m['role'] }}", "{{ 9 ** 9 }}", "{{ x.y.z }}",
     "{{ raise_exception('no') }}", "{% if messages %}", "{% endif %}", "{{ messages.append(1) }}", "{% break %}",
     "{{ ''.__class__ }}", "{{ range(10**12) }}", "{{ 1 / 0 }}", "{% set a = messages %}", "{{ 'a' * 99999 }}",
     "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{% include 'x' %}", "{{ messages | tojson }}", "{#", "{{"]
)  # fmt: skip
TEMPLATES = st.lists(PIECES | TEXT, max_size=6).map("".join)


@cache
def chat() -> Any:
    from adamms.config import SHIPPED
    from adamms.engines.chat import Chat

    return Chat(SHIPPED / "pair" / "base")


def open_template(template: str, folder: Path) -> Enter:
    from adamms.engines.chat import check_templates

    asked = chat()

    def enter() -> None:
        check_templates(template, folder)
        asked.processor.chat_template = template
        try:
            asked.text(Prompt("a", "What?"))
        except UserError:
            raise
        except Exception:  # a refusal, whatever it is, which `fitting_prompts` reports
            return

    return enter


# ---- addresses

LETTERS = st.characters(codec="ascii", exclude_characters=" <>", exclude_categories=["C"])
WORD = st.text(LETTERS, max_size=4)
SECRETS = st.builds(lambda a, b: f"{a}s3cr3t{b}", WORD, WORD)
HOSTS = st.sampled_from(["host", "host:5000", "127.0.0.1:80", "bucket"])
VALUES_OF = WORD.map(lambda text: "s3cr3t" + text.translate({ord(mark): None for mark in "?&#;"}))
SECRET_NAMES = st.sampled_from(["token", "api_key", "X-Amz-Signature"])
ADDRESSES = st.one_of(
    st.builds(lambda secret, host: f"https://me:{secret}@{host}/x", SECRETS, HOSTS),
    st.builds(lambda host, name, value: f"s3://{host}/x?a=1&{name}={value}", HOSTS, SECRET_NAMES, VALUES_OF),
    st.builds(lambda host: f"simplecache::https://s3cr3t@{host}/x", HOSTS),
)


def open_address(case: tuple[str, str, str], folder: Path) -> Enter:
    before, address, after = case

    def enter() -> None:
        text = f"{before} {address} {after}"
        for shown in (mask(text), str(UserError(text)), str(masked({address: [text]})), short_name(address)):
            assert "s3cr3t" not in shown, shown
        assert mask(mask(text)) == mask(text)

    return enter


# ---- whole commands, in this process

VALUES = TEXT | st.sampled_from(["-1", "0", "1e400", "nan", "null", "[1", "{", "0.3", "x: y"])
KEYS = st.sampled_from(
    ["merging.workers", "merging.max_shard_size", "merging.method", "merging.options.density", "mapping.embeddings",
     "mapping.base_architecture", "log.level", "mapping.ancestry_check", "odd", "merging", "merging.gpus_per_task"]
)  # fmt: skip
OUTPUTS = st.sampled_from(["out", "out", "out", "x" * 300, "pair/base", "pair/base/out", "pair", "."])
COMMANDS = st.tuples(
    st.sampled_from(["map", "merge", "merge", "select", "track"]),
    st.sampled_from(["good", "good", "good", "config", "header", "gone"]) | PLACES,
    OUTPUTS,
    st.lists(st.tuples(KEYS, VALUES), max_size=2),
    damaged(st.just(b'{"model_type": "qwen2"}')),
    st.booleans(),
)


@cache
def good_pair() -> tuple[dict[str, bytes], ...]:
    """Files of two models that merge."""
    with tempfile.TemporaryDirectory() as place:
        found = []
        for seed in (1, 2):
            weights = c.llama_names()(c.tuned(c.language_model(), seed), c.GQA)
            config = {**c.GQA.config, "model_type": "qwen2"}
            folder = c.write_checkpoint(Path(place) / str(seed), weights, config, c.words(37))
            found.append({path.name: path.read_bytes() for path in folder.iterdir()})
        return tuple(found)


def exit_status(command: Enter) -> Any:
    try:
        command()
    except SystemExit as end:
        return end.code
    return 0


def open_command(case: tuple[str, str, str, list[tuple[str, str]], bytes, bool], folder: Path) -> Enter:
    command, base, output, settings, damage, force = case
    for name, files in zip(("base", "donor"), good_pair(), strict=True):
        put(folder / "pair" / name, **files)
    shutil.rmtree(folder / "out", ignore_errors=True)
    if base in ("config", "header"):
        (folder / "pair" / "base" / ("config.json" if base == "config" else "model.safetensors")).write_bytes(damage)
    base = str(folder / "pair" / "base") if base in ("good", "config", "header") else base
    target = str(folder / output)
    arguments = {
        "map": ["map", base, str(folder / "pair" / "donor")],
        "merge": ["merge", base, str(folder / "pair" / "donor"), "--alpha", "0.3", "--output", target],
        "select": ["select", base],
        "track": ["track", base],
    }[command]
    if command in ("map", "merge"):
        arguments += [f"{key}={value}" for key, value in settings]
    if force and command == "merge":
        arguments.append("--force")

    def enter() -> None:
        told = io.StringIO()
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
            status = exit_status(lambda: run_as_command(lambda: app([text.replace("\0", "") for text in arguments])))
        assert status in (0, 2, None), told.getvalue()
        assert "Traceback" not in told.getvalue(), told.getvalue()

    return enter


DOORS = {
    "headers": Door(HEADERS, open_header, 60),
    "indices": Door(INDICES, open_index, 40),
    "configs": Door(CONFIGS, open_config, 15),
    "tokenizers": Door(TOKENIZERS, open_tokenizer, 15),
    "architectures": Door(ARCHITECTURES, open_architecture, 4),
    "cards": Door(st.tuples(CARDS, PLACES, TEXT), open_card, 6, output="out"),
    "prompts": Door(PROMPTS, open_prompts, 8),
    "images": Door(damaged(st.sampled_from(pictures())) | IMAGES | st.binary(max_size=60), open_picture, 20),
    "responses": Door(st.tuples(ROWS, METRICS), open_responses, 5),
    "runs": Door(broken_run(), open_run, 6, output="run"),
    "templates": Door(TEMPLATES, open_template, 1),
    "addresses": Door(st.tuples(TEXT, ADDRESSES, TEXT), open_address, 40),
    "commands": Door(COMMANDS, open_command, 0.5, output="out"),
}
