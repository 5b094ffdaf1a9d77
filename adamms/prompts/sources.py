"""Where prompts come from: JSONL, Parquet, Hugging Face datasets, folders of images; read as far as is asked."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from adamms.errors import UserError, first_line
from adamms.prompts.config import PromptsConfig
from adamms.support.files import expanded, is_file, is_folder, is_text

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?(@[\w./-]+)?")
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
FILES = (*IMAGES, ".jsonl", ".json", ".parquet", ".csv", ".tsv", ".txt", ".zip", ".gz", ".arrow", ".yaml")
"""Endings of files; a data set's name on the Hub may have a dot too."""
TEXT_FIELDS, IMAGE_FIELDS = ("prompt", "question"), ("images", "image")
SHOWN = 4
"""So many files are named in a message."""
NO_TEXT = "holds half of a surrogate pair, which is no text"
EXPECTED = "JSONL, Parquet, a dataset (folder or Hub id), or a folder of images"


@dataclass(frozen=True)
class Row:
    """One prompt of a source, its images not read yet.

    Attributes:
        where: for messages: 'line 3', 'row 3'.
        number: its place in the source.
        images: gives the images in any form that `read_image` takes.
    """

    where: str
    number: int
    id: str
    text: str
    images: Callable[[], Sequence[Any]]


@dataclass(frozen=True)
class Source:
    """All rows of a source, and what is wrong with those that are none. Labels are not read."""

    folder: Path
    rows: list[Row]
    problems: list[str]


def read_source(config: PromptsConfig) -> Source:
    """The rows that `prompts.path` names.

    Raises:
        UserError: nothing is there, or nothing of a known kind.
    """
    if not config.path:
        raise UserError(f"prompts.path: not given; expected {EXPECTED}")
    path = expanded(config.path)
    if is_file(path):
        return _parquet(path, config) if path.suffix == ".parquet" else _jsonl(path, config)
    if is_folder(path):
        return _folder(path, config)
    if not _HUB_ID.fullmatch(config.path) or path.suffix in FILES:
        raise UserError(f"{config.path}: no such file or folder; expected {EXPECTED}")
    return _hub(config)


def _folder(path: Path, config: PromptsConfig) -> Source:
    if (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file():
        return _saved_dataset(path, config)
    if _parquet_files(path):
        return _parquet(path, config)
    _check_no_choice(path, "a folder of images has neither", config, "split", "subset")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES)
    if not files:
        raise UserError(f"{path}: holds no prompts; expected {EXPECTED}")
    if not config.question.strip():
        raise UserError(f"{path}: a folder of images needs prompts.question, which is asked of every image")
    names = [file.relative_to(path).as_posix() for file in files]
    texts = [(i, name) for i, name in enumerate(names, start=1) if is_text(name)]
    rows = [Row(name, i, name, config.question, partial(list, [name])) for i, name in texts]
    return Source(path, rows, [f"{name!r}: its name is not UTF-8" for name in names if not is_text(name)])


def _jsonl(path: Path, config: PromptsConfig) -> Source:
    _check_no_choice(path, "JSONL has neither", config, "split", "subset")
    source = Source(path.parent, [], [])
    for number, data in read_lines(path, source.problems):
        _add(source, "line", number, data, config, partial(_images_of, data, config))
    return source


def read_lines(path: Path, problems: list[str]) -> Iterator[tuple[int, Any]]:
    """The values of a JSONL file, which may begin with a byte order mark, each with the number of its line; lines that
    are no JSON are added to `problems`.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # a string may hold what `splitlines` takes for an end
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason}); expected {EXPECTED}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                data = json.loads(line)
            except (ValueError, RecursionError) as error:
                problems.append(f"line {number}: {error}")
                continue
            yield number, data


def _parquet(path: Path, config: PromptsConfig) -> Source:
    import pyarrow.dataset

    _check_no_choice(path, "Parquet has none", config, "subset")
    files = [str(file) for file in _of_split(path, config)]
    try:
        table = pyarrow.dataset.dataset(files, format="parquet")
        names = table.schema.names
        data = table.to_table(columns=_present(names, ("id", *_text_fields(config)))).to_pylist()
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: not readable as Parquet ({first_line(error)})") from None
    fields = _present(names, _image_fields(config))

    def images(row: int) -> dict[str, Any]:
        return dict(table.take([row], fields).to_pylist()[0]) if fields else {}

    return _table(path if path.is_dir() else path.parent, data, config, images)


def _parquet_files(folder: Path) -> list[Path]:
    """Those in a folder and the folders in it, in order; names that begin with . or _ are none, nor are they to
    pyarrow."""
    found = (file for file in folder.rglob("*.parquet") if file.is_file())
    return sorted(file for file in found if not any(re.match("[._]", part) for part in file.relative_to(folder).parts))


def _of_split(path: Path, config: PromptsConfig) -> list[Path]:
    """The Parquet files of a split, as the Hub names them: test.parquet, test-00000-of-00002.parquet, or in a folder
    `test`; all, where none is asked for.

    Raises:
        UserError: no file has its name.
    """
    files, folder = ([path], path.parent) if is_file(path) else (_parquet_files(path), path)

    def named(file: Path) -> bool:
        *parents, _ = file.relative_to(folder).parts
        return config.split in (file.stem, *parents) or file.stem.startswith(f"{config.split}-")

    found = [file for file in files if not config.split or named(file)]
    if config.tasks and is_file(path):
        return files  # the split may be meant for another task's source
    if not found:
        told = ", ".join(file.relative_to(folder).as_posix() for file in files[:SHOWN])
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        raise UserError(
            f"{path}: no file is named after prompts.split={config.split}, as {config.split}.parquet or "
            f"{config.split}-00000-of-00001.parquet would be (found {told}{more}); choose another, or leave it out"
        )
    return found


def _check_no_choice(place: Path | str, why: str, config: PromptsConfig, *names: str) -> None:
    """Raises UserError where a choice is asked for that a source does not have. Of several tasks other sources may have
    it."""
    given = [f"prompts.{name}={getattr(config, name)}" for name in names if getattr(config, name)]
    if given and not config.tasks:
        raise UserError(f"{place}: {' and '.join(given)} cannot be chosen, since {why}; leave that out")


def _saved_dataset(path: Path, config: PromptsConfig) -> Source:
    from datasets import load_from_disk

    _check_no_choice(path, "a saved dataset has none", config, "subset")
    try:
        found = load_from_disk(str(path))
    except Exception as error:  # the library raises whatever its readers raise
        raise UserError(f"{path}: not readable as a dataset ({first_line(error)})") from None
    return _dataset(found, path, config)


def _hub(config: PromptsConfig) -> Source:
    from datasets import load_dataset

    name, _, revision = config.path.partition("@")
    try:
        found = load_dataset(name, config.subset or None, revision=revision or None)
    except Exception as error:  # the library raises whatever its readers raise
        raise UserError(
            f"prompts.path={config.path}: no such file, and the Hub gives no dataset of that name "
            f"({first_line(error)}); "
            f"expected {EXPECTED}"
        ) from None
    return _dataset(found, Path(), config)


def _dataset(found: Any, folder: Path, config: PromptsConfig) -> Source:
    from datasets import DatasetDict, Image

    if isinstance(found, DatasetDict):
        found = found[_split(list(found), config)]
    elif config.split != str(found.split or ""):
        _check_no_choice(config.path, "this dataset has no splits", config, "split")
    names = found.column_names
    data = found.select_columns(_present(names, ("id", *_text_fields(config)))).to_list()
    pictures = found.select_columns(_present(names, _image_fields(config)))
    for name, feature in pictures.features.items():
        if isinstance(feature, Image):
            pictures = pictures.cast_column(name, Image(decode=False))
    return _table(folder, data, config, lambda i: pictures[i] if pictures.column_names else {})


def _table(
    folder: Path, data: Sequence[dict[str, Any]], config: PromptsConfig, images: Callable[[int], dict[str, Any]]
) -> Source:
    source = Source(folder, [], [])
    for i, row in enumerate(data):
        _add(source, "row", i + 1, row, config, lambda i=i: _images_of(images(i), config))  # type: ignore[misc]
    return source


def _split(splits: list[str], config: PromptsConfig) -> str:
    wanted = (config.split,) if config.split else (*(splits if len(splits) == 1 else ()), "test", "validation", "train")
    found: str | None = next((name for name in wanted if name in splits), None)
    if found is None:
        raise UserError(f"{config.path}: has the splits {', '.join(splits)}; choose one with prompts.split=")
    return found


def _add(
    source: Source, kind: str, number: int, data: Any, config: PromptsConfig, images: Callable[[], Sequence[Any]]
) -> None:
    where, fields = f"{kind} {number}", _text_fields(config)
    text = next((data[name] for name in fields if data.get(name) is not None), None) if isinstance(data, dict) else None
    if not isinstance(text, str) or not text.strip():
        source.problems.append(f"{where}: expected an object with a non-empty string `{fields[0]}`")
        return
    given = data.get("id")
    name = str(number if given is None else given)
    if not is_text(name + text):
        source.problems.append(f"{where}: {NO_TEXT}")
        return
    source.rows.append(Row(where, number, name, text, images))


def _images_of(data: dict[str, Any], config: PromptsConfig) -> list[Any]:
    """What the image fields hold, as one list; each may hold one image or several."""
    found: list[Any] = []
    for name in _image_fields(config):
        value = data.get(name)
        found += value if isinstance(value, list | tuple) else [] if value is None else [value]
    return found


def _text_fields(config: PromptsConfig) -> tuple[str, ...]:
    return (config.text_field,) if config.text_field else TEXT_FIELDS


def _image_fields(config: PromptsConfig) -> tuple[str, ...]:
    return tuple(config.images_field.replace(" ", "").split(",")) if config.images_field else IMAGE_FIELDS


def _present(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    return [name for name in wanted if name in names]
