"""Makes mplug-owl2.json: what the authors' code answers with the tiny model of tests/support/authors.py.

Their code is mPLUG-Owl2/mplug_owl2 of github.com/X-PLUG/mPLUG-Owl at 0f3068fdb47b77aedc71fc39f5735cd7aa35e8f9, as it
is, and no part of this project. Made with Python 3.11, torch 2.13.0, transformers 4.31.0, icecream, einops, numpy 1.26:

    PYTHONPATH=THEIR/mPLUG-Owl2 python tests/engines/models/references/make_mplug_owl2.py [float32|bfloat16|float16]
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[4]))
from tests.support import authors
from tests.support.pictures import picture


def load(folder: Path, dtype: torch.dtype) -> Any:
    """Their model, in this dtype, of a folder's weights."""
    from mplug_owl2.model.configuration_mplug_owl2 import MPLUGOwl2Config
    from mplug_owl2.model.modeling_mplug_owl2 import MPLUGOwl2LlamaForCausalLM
    from safetensors.torch import load_file

    settings = json.loads((folder / "config.json").read_text())
    torch.set_default_dtype(dtype)  # as from_pretrained does while it builds
    model = MPLUGOwl2LlamaForCausalLM(MPLUGOwl2Config(**settings))
    torch.set_default_dtype(torch.float32)
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    assert not unexpected, unexpected
    assert not missing, missing
    return model.eval()


@torch.no_grad()
def answer(model: Any, tokenizer: Any, pixels_of: Any, question: str, image: bytes | None) -> dict[str, Any]:
    """The prompt's token ids, the greedy tokens, and their log-probabilities."""
    from mplug_owl2.constants import DEFAULT_IMAGE_TOKEN, IMAGE_TOKEN_INDEX
    from mplug_owl2.conversation import conv_templates
    from mplug_owl2.mm_utils import process_images, tokenizer_image_token

    talk, pixels = conv_templates["mplug_owl2"].copy(), None
    if image:
        picture_of = Image.open(io.BytesIO(image)).convert("RGB")
        side = max(picture_of.size)
        pixels = process_images([picture_of.resize((side, side))], pixels_of).to(model.dtype)
    talk.append_message(talk.roles[0], (DEFAULT_IMAGE_TOKEN if image else "") + question)
    talk.append_message(talk.roles[1], None)
    ids = tokenizer_image_token(talk.get_prompt(), tokenizer, IMAGE_TOKEN_INDEX, return_tensors="pt")[None]
    output = model.generate(
        ids,
        images=pixels,
        do_sample=False,
        max_new_tokens=authors.TOKENS,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    tokens = output.sequences[0, ids.shape[1] :].tolist()
    rows = torch.stack(output.scores)[:, 0].float().log_softmax(-1)
    return {
        "question": question,
        "image": bool(image),
        "text_ids": [int(i) for i in ids[0] if i != IMAGE_TOKEN_INDEX],
        "tokens": tokens,
        "logprobs": [round(float(row[token]), 6) for row, token in zip(rows, tokens, strict=True)],
    }


def main() -> None:
    import transformers
    from transformers import CLIPImageProcessor, PreTrainedTokenizerFast

    dtype = sys.argv[1] if len(sys.argv) > 1 else "float32"
    found = {"made_by": f"torch {torch.__version__}, transformers {transformers.__version__}, {dtype}"}
    with tempfile.TemporaryDirectory() as root:
        base, donor, merged = (Path(root, name) for name in ("base", "donor", "merged"))
        authors.save_mplug_owl2(base)
        authors.save_mplug_owl2(donor, seed=1)
        authors.write_merged(merged, base, donor)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=f"{base}/tokenizer.json", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
        )
        pixels_of = CLIPImageProcessor.from_pretrained(base)
        for name, folder in (("answers", base), ("merged", merged)):
            model = load(folder, getattr(torch, dtype))
            found[name] = [
                answer(model, tokenizer, pixels_of, question, picture(i) if image else None)
                for i, (question, image) in enumerate(authors.ASKED)
            ]
    file = Path(__file__).with_name("mplug-owl2.json" if dtype == "float32" else f"mplug-owl2-{dtype}.json")
    file.write_text(json.dumps(found, indent=None) + "\n")
    print(file, [len(one["tokens"]) for one in found["answers"]])


if __name__ == "__main__":
    main()
