import hashlib
from pathlib import Path

_ASKING = (
    "chat_template*",  # .jinja or .json
    "additional_chat_templates/*.jinja",
    "tokenizer*",  # .json, .model, _config.json
    "*.model",  # sentencepiece under other names
    "*.tiktoken",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "*processor_config.json",  # preprocessor, processor, image and video processors
    "generation_config.json",
    "*.py",  # a tokenizer or processor of the checkpoint's own (trust_remote_code)
)


def asking_digest(folder: Path) -> str:
    """A digest of the files that turn a prompt into tokens and pixels and say where an answer ends: chat templates,
    tokenizer, processors, generation_config; by name and content, in the order of their names."""
    hasher = hashlib.sha256()
    for path in sorted({path for pattern in _ASKING for path in folder.glob(pattern) if path.is_file()}):
        hasher.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        hasher.update(hashlib.sha256(path.read_bytes()).digest())
    return hasher.hexdigest()[:16]
