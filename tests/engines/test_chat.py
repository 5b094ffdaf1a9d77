"""Foreign chat templates and prompts end in one line, however they are broken."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adamms.engines import chat
from adamms.engines.chat import Chat
from adamms.engines.lengths import fitting_prompts, reads_text_only
from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.support.time_limit import TooLong, time_limit
from tests.support.specs import tiny_spec
from tests.support.tiny_models import TinyPair, picture

BASE, DONOR = "qwen2-vl", "llava-onevision"
PROMPTS = [Prompt("a", "What is it?", (picture(0),))]


@pytest.fixture
def base(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model whose files a test may change."""
    return shutil.copytree(tiny(BASE), tmp_path / "base")


def templated(base: Path, template: str) -> Path:
    (base / "chat_template.jinja").write_text(template)
    return base


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for message in messages %}", "is no Jinja template .line 1: Unexpected end of template"),
        ("{{ 'a }}", "is no Jinja template .line 1:"),
        ("{{ 9 ** 9 ** 9 ** 9 }}", "computes powers"),
        ("{% set a = namespace(n=9) %}{% set a.n = a.n ** a.n %}", "computes powers"),
        ("{{ raise_exception('no system message, please') }}", "prompt a: no system message, please"),
        ("{{ ''.__class__.__mro__ }}", "prompt a: access to attribute"),
        ("{{ messages.append(1) }}", "prompt a: access to attribute"),
        ("{{ range(10 ** 1) }}", "computes powers"),
        ("{{ range(1000000000000) | list }}", "prompt a: Range too big"),
        ("{{ nothing.at.all }}", "prompt a: 'nothing' is undefined"),
        ("{{ 1 / 0 }}", "prompt a: division by zero"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "prompt a: maximum recursion depth"),
        ("{% include '/etc/passwd' %}", "prompt a: no loader"),
    ],
)
def test_templates_that_are_refused(base: Path, tiny: Callable[[str], Path], template: str, words: str) -> None:
    spec = tiny_spec(templated(base, template), tiny(DONOR))
    with pytest.raises(UserError, match=words) as error:
        fitting_prompts(PROMPTS, spec)
    assert "\n" not in str(error.value)


def test_a_model_that_reads_text_only_gets_plain_words(tiny_pair: TinyPair, tmp_path: Path) -> None:
    spec = tiny_spec(tiny_pair.ancestor, tiny_pair.ancestor)
    plain = "{% for one in messages %}<{{ one['role'] }}>" + "{{ one['content'] + '' }}{% endfor %}"
    own = shutil.copytree(tiny_pair.ancestor, tmp_path / "own")
    chat = Chat(templated(own, plain))
    asked = Prompt("a", "What is it?", system="Be brief.")
    assert chat.text(asked) == "<system>Be brief.<user>What is it?"
    assert not chat.sees
    assert Chat(tiny_pair.base).sees
    assert reads_text_only(spec)
    with pytest.raises(UserError, match=r"prompt a: it has pictures, and .* reads text only"):
        fitting_prompts(PROMPTS, spec)
    assert fitting_prompts([asked], spec) == [asked]


def test_an_endless_template_is_ended(base: Path, tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "SLOWEST_TEMPLATE", 0.5)
    loops = "".join(f"{{% for i{n} in range(99999) %}}" for n in range(5)) + "{% endfor %}" * 5
    spec = tiny_spec(templated(base, loops), tiny(DONOR))
    started = time.perf_counter()
    with pytest.raises(UserError, match=r"its chat template .* 0.5 s"):
        fitting_prompts(PROMPTS * 3, spec)
    assert time.perf_counter() - started < 5
    with pytest.raises(UserError, match=r"its chat template .* 0.5 s"):
        Chat(base).tokens(PROMPTS[0])


def test_a_text_with_stars_is_no_power(base: Path) -> None:
    template = "**Answer** {# ** #}{{ '**' }}{{ messages[0]['content'][1]['text'] }}"
    assert Chat(templated(base, template)).text(PROMPTS[0]) == "**Answer** **What is it?"


def test_placeholders_of_images_in_a_prompt_are_skipped(
    tiny: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    spec = tiny_spec(tiny(BASE), tiny(DONOR))
    odd = [Prompt("odd", "What is <|image_pad|> this?", (picture(0),)), Prompt("alone", "<|image_pad|>" * 3)]
    with pytest.raises(UserError, match=r"prompt odd: its text holds <\|image_pad\|>.*prompt alone: its text"):
        fitting_prompts([*odd, *PROMPTS], spec)
    with caplog.at_level(logging.WARNING):
        assert fitting_prompts([*odd, *PROMPTS], spec, "skip") == PROMPTS
    assert "left out" in caplog.text


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("tokenizer.json", "{", "its processor does not load"),
        ("tokenizer.json", '{"model": {"type": "odd"}}', "its processor does not load"),
        ("processor_config.json", "[]", "its processor does not load"),
        ("generation_config.json", "{", "generation_config.json: cannot be read"),
        ("generation_config.json", '{"eos_token_id": "x"}', "generation_config.json: "),
    ],
)
def test_broken_files_of_a_processor(
    base: Path, tiny: Callable[[str], Path], file: str, content: str, words: str
) -> None:
    spec = tiny_spec(base, tiny(DONOR))
    (base / file).write_text(content)
    with pytest.raises(UserError, match=words) as error:
        fitting_prompts(PROMPTS, spec)
    assert "\n" not in str(error.value)


def test_a_time_limit_ends_its_block_and_nothing_else() -> None:
    with time_limit(60):
        pass
    ended = []

    def spin() -> None:
        try:
            with time_limit(0.2):
                while True:
                    pass
        except TooLong:
            ended.append(threading.get_ident())

    thread = threading.Thread(target=spin)
    thread.start()
    thread.join(20)
    assert ended == [thread.ident]
    with time_limit(0.05):
        pass
    time.sleep(0.1)  # nothing comes later
