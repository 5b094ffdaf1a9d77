from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.prompts.prompt import Prompt


class Chat:
    """Puts prompts by the chat template of a folder's processor (or, for a text model, its tokenizer)."""

    def __init__(self, folder: Path, trust_remote_code: bool = False) -> None:
        """Raises UserError if the folder has none, or one without a chat template."""
        from transformers import AutoProcessor

        try:
            self.processor: Any = AutoProcessor.from_pretrained(
                folder, padding_side="left", trust_remote_code=trust_remote_code
            )
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{folder}: its processor does not load ({reason}); add the processor and tokenizer files, "
                "or set engine.trust_remote_code=true if it brings its own code"
            ) from None
        self.tokenizer: Any = getattr(self.processor, "tokenizer", self.processor)
        if getattr(self.processor, "chat_template", None) is None:
            raise UserError(f"{folder}: has no chat template; add the family's chat_template.jinja")
        self.ends = _end_tokens(self.tokenizer, folder)

    def tokens(self, prompt: Prompt) -> list[int]:
        """Token ids of the whole conversation up to where the answer starts; every image is still one placeholder."""
        text = str(self.processor.apply_chat_template(conversation(prompt), add_generation_prompt=True, tokenize=False))
        written = self.tokenizer.bos_token is not None and text.startswith(self.tokenizer.bos_token)
        return list(self.tokenizer(text, add_special_tokens=not written)["input_ids"])

    def inputs(self, prompts: Sequence[Prompt]) -> Any:
        """A left-padded batch as the model takes it: token ids with every image at its full length, and pixels."""
        return self.processor.apply_chat_template(
            [conversation(prompt) for prompt in prompts],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )


def conversation(prompt: Prompt) -> list[dict[str, Any]]:
    """A prompt as chat messages: the system's if there is one, then the images and the text."""
    system = [{"role": "system", "content": [{"type": "text", "text": prompt.system}]}] if prompt.system else []
    images = [{"type": "image", "image": picture} for picture in prompt.pictures()]
    return [*system, {"role": "user", "content": [*images, {"type": "text", "text": prompt.text}]}]


def _end_tokens(tokenizer: Any, folder: Path) -> frozenset[int]:
    """The tokens that end an answer: those of generation_config.json, and the tokenizer's own."""
    from transformers import GenerationConfig

    own: Any = None
    if (folder / "generation_config.json").is_file():
        own = GenerationConfig.from_pretrained(folder).eos_token_id
    ends = [*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id]
    return frozenset(end for end in ends if end is not None)
