"""The kinds of engine by name. A new one is a file with a class that fits `registry.EngineClass`, and a line here."""

from __future__ import annotations

from adamms.errors import UserError

AUTO = "auto"
ENGINES = {  # kind -> where its class is, imported when it is needed; `auto` takes the first that fits
    "vllm": "adamms.engines.vllm.engine:VllmEngine",
    "transformers": "adamms.engines.transformers_engine:TransformersEngine",
}


def check_kind(kind: str) -> None:
    """Raises UserError for a kind that is not registered."""
    if kind != AUTO and kind not in ENGINES:
        raise UserError(f"engine.kind={kind}: unknown; known are {', '.join([AUTO, *ENGINES])}")
