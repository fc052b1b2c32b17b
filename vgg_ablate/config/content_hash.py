"""The hash of plain data, of which keys of records and hashes of registrations are made: it must never change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def hash_content(content: Mapping[str, Any]) -> str:
    """Return the first 16 hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(dump_canonical_json(content).encode()).hexdigest()[:16]


def dump_canonical_json(value: Any) -> str:
    """Return plain data as JSON that is equal for equal data: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
