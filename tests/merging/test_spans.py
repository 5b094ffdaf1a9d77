"""How work is cut: every byte of an output file once, in long rows."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from adamms.merging import Recipe, spans
from adamms.merging.execute import CHUNK_ELEMENTS
from adamms.merging.layout import lay_out
from adamms.merging.spans import stretch_bytes, stretches_of
from tests.merging.conftest import make_models


def _interval(span):
    return span.offset, span.offset + span.nbytes


def test_stretches_cover_every_byte_once(tmp_path, monkeypatch):
    models = make_models(tmp_path / "m")
    plan = models.plan(False)

    @given(st.integers(64, 5000), st.integers(1, 20_000))
    @settings(max_examples=40, deadline=None)
    def check(span_bytes, limit):
        monkeypatch.setattr(spans, "SPAN_BYTES", span_bytes)
        for shard in lay_out(plan, models.base, tmp_path):
            stretches = stretches_of(shard, models.base, Recipe("linear", 0.3), limit, CHUNK_ELEMENTS)
            intervals = [_interval(span) for stretch in stretches for span in stretch]
            assert intervals[0][0] == len(shard.header)
            assert intervals[-1][1] == shard.nbytes
            assert all(one[1] == two[0] for one, two in pairwise(intervals))
            for stretch in stretches:
                assert {span.path for span in stretch} == {shard.path}
                assert len(stretch) == 1 or sum(end - start for start, end in map(_interval, stretch)) <= limit

    check()


@given(st.integers(0, 10**12), st.integers(1, 256))
def test_no_worker_is_left_alone_with_much(total, workers):
    size = stretch_bytes(total, workers)
    assert spans.SPAN_BYTES <= size <= spans.STRETCH_BYTES
    assert size == spans.SPAN_BYTES or size * workers * 8 <= total
