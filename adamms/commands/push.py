"""`adamms push`: the winner of a search, or any merge, as a model on the Hugging Face Hub."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adamms.errors import UserError, first_line
from adamms.merging.companions import HUB_ID, RECORD
from adamms.reporting.card import published_card
from adamms.runs.run_folder import RunFolder
from adamms.support.progress import doing


def push(place: Path, repository: str, *, public: bool = False, force: bool = False, task: str = "") -> str:
    """Uploads a checkpoint with its card; gives the address of what was made.

    Args:
        place: the folder of a search, or of a merge.
        repository: OWNER/NAME.
        public: for everybody to see; else only the owner does.
        force: add a commit to a repository that is there already, whose visibility stays.
        task: of a search with `searching.export=each`, whose winner is meant.

    Raises:
        UserError: nothing to push, no such name, no permission, or the Hub does not answer.
    """
    if not HUB_ID.fullmatch(repository):
        raise UserError(f"{repository}: expected OWNER/NAME, as the Hub calls models")
    folder, run = checkpoint_in(place, task)
    card = published_card(folder, run, repository)
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    with _told(repository):
        with doing(f"making {repository}"):
            address = str(api.create_repo(repository, private=not public, exist_ok=force))
        message = "Merged with AdaMMS"
        with doing(f"uploading {folder}"):
            api.upload_folder(
                repo_id=repository, folder_path=folder, ignore_patterns=["README.md"], commit_message=message
            )
            api.upload_file(
                path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=repository, commit_message="Model card"
            )
    return address


def checkpoint_in(place: Path, task: str = "") -> tuple[Path, RunFolder | None]:
    """The checkpoint's folder, and the search that chose it, where there was one.

    Raises:
        UserError: there is no checkpoint that AdaMMS wrote.
    """
    if (place / RECORD).is_file():
        return place, None
    run = RunFolder(place)
    folder = run.merged / task if task else run.merged
    if (folder / RECORD).is_file():
        return folder, run
    tasks = sorted(file.parent.name for file in run.merged.glob(f"*/{RECORD}"))
    if tasks:
        raise UserError(f"{place}: has a checkpoint for each task; name one with --task ({', '.join(tasks)})")
    raise UserError(f"{place}: no finished search and no merge of AdaMMS; give its run_dir, or the output of a merge")


@contextmanager
def _told(repository: str) -> Iterator[None]:
    """What the Hub says no to, in words that help.

    Raises:
        UserError: instead of the library's own errors.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled:
        raise UserError(f"{repository}: HF_HUB_OFFLINE is set, so nothing can be pushed; unset it") from None
    except LocalTokenNotFoundError:
        raise UserError(f"{repository}: not logged in to the Hub; `hf auth login`, or set HF_TOKEN") from None
    except HfHubHTTPError as error:
        raise UserError(f"{repository}: {_reason(error)}") from None
    except OSError as error:  # also the connection errors of the HTTP library
        raise UserError(f"{repository}: the Hub does not answer ({first_line(error)}); try again later") from None


def _reason(error: Any) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    match status:
        case 401:
            return "the Hub does not know who you are; `hf auth login`, or set HF_TOKEN to a token that may write"
        case 403:
            return "your token may not write there; choose another owner, or a token with the permission"
        case 409:
            return "is there already; give another name, or --force to add a commit to it"
    return f"the Hub says no ({first_line(error)})"
