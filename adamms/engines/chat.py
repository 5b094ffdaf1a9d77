from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adamms.errors import UserError, first_line
from adamms.prompts.prompt import Prompt
from adamms.support.time_limit import TooLong, time_limit

_PLACEHOLDERS = ("image_token", "boi_token", "video_token", "audio_token")
SLOWEST_TEMPLATE = 4.0  # seconds; real ones take a millisecond


class Chat:
    """Puts prompts by the chat template of a folder's processor (or, for a text model, its tokenizer).

    Attributes:
        sees: whether the model takes pictures; one that reads text only does not.
    """

    def __init__(self, folder: Path, trust_remote_code: bool = False) -> None:
        """Raises UserError if the folder has none, or one without a chat template that can be used."""
        from transformers import AutoProcessor

        try:
            self.processor: Any = AutoProcessor.from_pretrained(
                folder, padding_side="left", trust_remote_code=trust_remote_code
            )
        except Exception as error:  # transformers and tokenizers raise whatever they meet in broken files
            raise UserError(
                f"{folder}: its processor does not load ({first_line(error)}); add the processor and tokenizer files, "
                "or set engine.trust_remote_code=true if it brings its own code"
            ) from None
        self.tokenizer: Any = getattr(self.processor, "tokenizer", self.processor)
        self.sees = self.processor is not self.tokenizer
        self._folder = folder
        check_templates(getattr(self.processor, "chat_template", None), folder)
        self.ends = _end_tokens(self.tokenizer, folder)
        named = (getattr(self.processor, name, None) for name in _PLACEHOLDERS)
        self.placeholders = [token for token in named if isinstance(token, str) and token]

    def text(self, prompt: Prompt) -> str:
        """The whole conversation up to where the answer starts, as the chat template puts it.

        Raises:
            UserError: the template is none, or does not come to an end.
            Exception: whatever a template, or the library under it, raises where it refuses a conversation.
        """
        from jinja2 import TemplateSyntaxError

        asked = self._asked(prompt)
        try:
            with time_limit(SLOWEST_TEMPLATE):
                return str(self.processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False))
        except TooLong:
            raise UserError(
                f"{self._folder}: its chat template goes on for over {SLOWEST_TEMPLATE:g} s; mend it"
            ) from None
        except TemplateSyntaxError as error:
            raise _no_template(self._folder, error) from None

    def tokens(self, prompt: Prompt) -> list[int]:
        """Token ids of the whole conversation up to where the answer starts; every image is still one placeholder."""
        text = self.text(prompt)
        if hasattr(self.processor, "prompt_tokens"):  # one of ours
            return list(self.processor.prompt_tokens(text))
        written = self.tokenizer.bos_token is not None and text.startswith(self.tokenizer.bos_token)
        return list(self.tokenizer(text, add_special_tokens=not written)["input_ids"])

    def inputs(self, prompts: Sequence[Prompt]) -> Any:
        """A left-padded batch as the model takes it: token ids with every image at its full length, and pixels."""
        padding: dict[str, Any] = {"padding": True}
        return self.processor.apply_chat_template(
            [self._asked(prompt) for prompt in prompts],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **({"processor_kwargs": padding} if self.sees else padding),
        )

    def _asked(self, prompt: Prompt) -> list[dict[str, Any]]:
        return conversation(prompt) if self.sees else spoken(prompt)


def spoken(prompt: Prompt) -> list[dict[str, Any]]:
    """A prompt as the chat messages of a model that reads text only, whose template expects nothing else."""
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    return [*system, {"role": "user", "content": prompt.text}]


def conversation(prompt: Prompt) -> list[dict[str, Any]]:
    """A prompt as chat messages: the system's if there is one, then the images and the text."""
    system = [{"role": "system", "content": [{"type": "text", "text": prompt.system}]}] if prompt.system else []
    images = [{"type": "image", "image": picture} for picture in prompt.pictures()]
    return [*system, {"role": "user", "content": [*images, {"type": "text", "text": prompt.text}]}]


def _end_tokens(tokenizer: Any, folder: Path) -> frozenset[int]:
    """The tokens that end an answer: those of generation_config.json, and the tokenizer's own."""
    from transformers import GenerationConfig

    own: Any = None
    file = folder / "generation_config.json"
    if file.is_file():
        try:
            own = GenerationConfig.from_pretrained(folder).eos_token_id
        except Exception as error:  # of what it validates
            raise UserError(f"{file}: cannot be read ({first_line(error)}); mend it") from None
    ends = [end for end in [*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id] if end is not None]
    if not all(type(end) is int for end in ends):
        raise UserError(f"{file}: eos_token_id {own!r} are no token ids; mend it")
    return frozenset(ends)


def check_templates(templates: Any, folder: Path) -> None:
    """Raises UserError where there is no chat template, or one that computes powers: a single one can take for ever,
    already when it is compiled."""
    from jinja2 import Environment, TemplateSyntaxError

    texts = list(templates.values()) if isinstance(templates, dict) else [templates]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{folder}: has no chat template; add the family's chat_template.jinja")
    try:
        tokens = [(kind, value) for text in texts for _, kind, value in Environment().lex(text)]
        if ("operator", "**") in tokens:
            raise UserError(f"{folder}: its chat template computes powers (**), which no template needs; mend it")
    except TemplateSyntaxError as error:
        raise _no_template(folder, error) from None


def _no_template(folder: Path, error: Any) -> UserError:
    return UserError(
        f"{folder}: its chat template is no Jinja template (line {error.lineno}: {error.message}); mend it"
    )
