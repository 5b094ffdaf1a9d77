"""No secret of an address gets out, and what is no secret stays readable."""

from __future__ import annotations

import pytest

from adamms.addresses import mask, masked, short_name
from adamms.errors import UserError

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:s3cr3t@host:5432/db", "postgresql://***@host:5432/db"),
        ("https://me:s3cr3t@more@host/x", "https://***@host/x"),
        ("https://me:s3cr3t/more@host/x", "https://***@host/x"),
        ("https://me:s3cr3t?more#@host/x", "https://***@host/x"),
        ("https://s3cr3t@github.com/o/r", "https://***@github.com/o/r"),
        ("https://s3cr3t:x-oauth-basic@github.com/o/r", "https://***@github.com/o/r"),
        ("s3://key:s3cr3t@bucket/model", "s3://***@bucket/model"),
        ("https://host/x?api_key=s3cr3t&page=2", "https://host/x?api_key=***&page=2"),
        ("https://host/x?page=2&token=s3cr3t", "https://host/x?page=2&token=***"),
        ("https://host/x?X-Amz-Signature=s3cr3t&X-Amz-Date=1", "https://host/x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("https://a.blob.core.windows.net/c?sv=1&sig=s3cr3t%3D", "https://a.blob.core.windows.net/c?sv=1&sig=***"),
        ("simplecache::https://me:s3cr3t@host/a.png", "simplecache::https://***@host/a.png"),
        ("https://host/#access_token=s3cr3t", "https://host/#access_token=***"),
        ("https://host/x?a=1&amp;token=s3cr3t", "https://host/x?a=1&amp;token=***"),
        ("url: /?api_key=s3cr3t/api/2.0", "url: /?api_key=***"),
        ("HTTPS://me:s3cr3t@host", "HTTPS://***@host"),
    ],
)
def test_secrets_are_masked(address: str, shown: str) -> None:
    assert mask(address) == shown
    assert mask(shown) == shown
    text = f"it says {address}, or base={address}\nand `{address}`"
    assert SECRET not in mask(text)
    assert masked({"a": [address, 1, None], address: (address,)}) == {"a": [shown, 1, None], shown: [shown]}
    assert SECRET not in str(UserError(text))


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/experiments/1",
        "memory://bucket/model@main",
        "hf://datasets/owner/name@main/a.parquet",
        "sqlite:////home/me/run:1@x/mlflow.db",
        "abfss://container@account.dfs.core.windows.net/model",
        "owner/name@main",
        "mail me@host, see http://host:80",
        "https://host/x?versionId=3",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("models/qwen/", "qwen"),
        ("owner/name@main", "name"),
        ("data/prompts.jsonl", "prompts"),
        ("lmms-lab/MMBench_v1.1", "MMBench_v1.1"),
        ("s3://key:s3cr3t@bucket/model", "model"),
        ("https://s3cr3t@host", "host"),
        ("https://host/a/model?token=s3cr3t", "model"),
        ("https://me:s3@cr3t/x@host/a/model@v2", "host"),
        ("memory://bucket/model@v2", "model"),
    ],
)
def test_short_names(place: str, name: str) -> None:
    assert SECRET not in short_name(place)
    if "s3@" not in place:
        assert short_name(place) == name


def test_a_message_is_one_line_of_plain_characters() -> None:
    assert str(UserError("a\nb\x1b[31mc\u2028d é")) == "a\\nb\\x1b[31mc\\u2028d é"
    assert str(UserError.from_problems(["a", "b"])) == "a; b"
