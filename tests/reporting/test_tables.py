"""What tables print: the coefficient's own name, and the base only where it was a candidate."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from adamms.engines.noise import Noise
from adamms.judging.judgement import Judgement, judge
from adamms.prompts.labels import Label
from adamms.reporting.tables import (
    CHANGES,
    Trust,
    judgement_markdown,
    methods_by_tasks,
    methods_markdown,
    methods_table,
    print_judgements,
    print_selection,
)
from adamms.selecting.selection import select
from tests.support.searches import made_up_responses

LABELS = {f"l{n}": Label(("right",)) for n in range(10)}


def answers(right: int) -> dict[str, str]:
    return {name: "right" if n < right else "wrong" for n, name in enumerate(LABELS)}


def judged(*values: float, donor: bool = True) -> Judgement:
    candidates = {value: answers(number) for number, value in enumerate(values, 3)}
    return judge(values[1], {}, candidates, LABELS, answers(2) if donor else None)


def printed(selection: object) -> str:
    file = io.StringIO()
    print_selection(selection, Console(file=file, width=200))  # type: ignore[arg-type]
    return file.getvalue()


def test_a_selection_is_printed_in_plain_words() -> None:
    text = printed(select(made_up_responses()))
    for column in ("alpha", "answers that changed (either)", *CHANGES, "chosen in resamples"):
        assert column in text.splitlines()[0], column
    density = printed(select(made_up_responses(), coefficient="density"))
    assert density.split()[0] == "density"
    assert "alpha" not in density


def test_the_base_is_the_candidate_of_alpha_0() -> None:
    judgements = {(1, "a"): judged(0.0, 0.2, 0.4)}
    assert methods_by_tasks(judgements)["base"] == {"a": 30.0}
    assert "| base | 30.0 | 30.0 |" in methods_markdown(judgements)
    text = judgement_markdown(judgements, {(1, "a"): Trust(0.5, Noise(4, 1))})
    assert "Mean accuracy: base 30.0, donor 20.0, chosen 40.0, oracle 50.0; mean regret 10.0; the chosen alpha" in text
    assert text.rstrip().endswith("beats both parents in 1 of 1.")


@pytest.mark.parametrize(
    ("values", "coefficient", "with_base"),
    [((0.2, 0.4, 0.6), "alpha", True), ((0.0, 0.2, 0.4), "alpha", False), ((0.0, 0.2, 0.4), "density", False)],
)
def test_the_lowest_candidate_is_not_called_the_base(
    values: tuple[float, ...], coefficient: str, with_base: bool
) -> None:
    judgements = {(1, "a"): judged(*values)}
    assert list(methods_by_tasks(judgements, with_base)) == ["donor", "AdaMMS", "oracle"]
    assert "base" not in methods_markdown(judgements, with_base)
    assert methods_table(judgements, with_base).row_count == 3
    text = judgement_markdown(judgements, {(1, "a"): Trust(0.5, Noise(4, 1))}, coefficient, with_base)
    assert "Mean accuracy: base -, donor 20.0, chosen 40.0" in text
    assert "beats both parents" not in text


def test_a_method_that_was_judged_for_some_tasks_only_has_no_sum() -> None:
    judgements = {(1, "a"): judged(0.2, 0.4, 0.6), (1, "b"): judged(0.2, 0.4, 0.6, donor=False)}
    assert "| donor | 20.0 | - | - |" in methods_markdown(judgements)
    text = judgement_markdown(judgements, dict.fromkeys(judgements, Trust(0.5, Noise(4, 1))))
    assert "donor -," in text


def test_judgements_in_a_pipe_are_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    judgements = {f"benchmark-labelled-{name}": judged(*(i / 10 for i in range(8))) for name in ("one", "two")}
    print_judgements(judgements, True, with_methods=True)
    text = capsys.readouterr().out
    row = "benchmark-labelled-one 30.0 40.0* 50.0 60.0 70.0 80.0 90.0 100.0 20.0 0.1 0.7 60.0 -"
    assert row in [" ".join(line.split()) for line in text.splitlines()]
    assert "…" not in text
