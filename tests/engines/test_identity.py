from __future__ import annotations

import json
from importlib.metadata import version

import torch

from adamms.engines.identity import EngineIdentity


def test_an_identity_is_resolved_and_comes_back_from_json() -> None:
    found = EngineIdentity.of("transformers", torch.bfloat16, "cpu")
    assert (found.kind, found.dtype, found.device) == ("transformers", "bfloat16", "cpu")
    assert dict(found.versions) == {"torch": version("torch"), "transformers": version("transformers")}
    assert EngineIdentity.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert EngineIdentity.of("other", torch.bfloat16, "cpu", "ray") != found
    assert "ray" in dict(EngineIdentity.of("other", torch.bfloat16, "cpu", "ray").versions)
