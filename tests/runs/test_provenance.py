"""No password of a ledger's URL is written or printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgg_ablate.runs.provenance import mask_password

SECRET = "hunter2"
URLS = [
    ("postgresql://ann:hunter2@host/db", "postgresql://ann:***@host/db"),
    ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
    ("postgresql://ann:a@hunter2@host/db", "postgresql://ann:***@host/db"),
    ("postgresql://ann:a/hunter2@host/db", "postgresql://ann:***@host/db"),
    ("postgresql://host/db?user=ann&password=hunter2", "postgresql://host/db?user=ann&password=***"),
    ("postgresql://host/db?sslPassword=hunter2&user=ann", "postgresql://host/db?sslPassword=***&user=ann"),
    ("--storage=mysql://ann:hunter2@host/db", "--storage=mysql://ann:***@host/db"),
    ("sqlite:////tmp/study.db", "sqlite:////tmp/study.db"),
    ("postgresql://ann@host:5432/db", "postgresql://ann@host:5432/db"),
    ("train.epochs=2", "train.epochs=2"),
]


@pytest.mark.parametrize(("url", "masked"), URLS)
def test_a_password_is_masked_and_the_rest_of_the_url_kept(url: str, masked: str) -> None:
    assert mask_password(url) == masked


@given(st.text(), st.text())
def test_no_password_is_shown_whatever_surrounds_it(before: str, after: str) -> None:
    assert SECRET not in mask_password(f"postgresql://ann:{before}{SECRET}{after}@host/db")
