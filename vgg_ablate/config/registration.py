"""What decides a study, as plain data with a hash: registered before the first training, compared afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from vgg_ablate.config.study import Study

_PLACES = {"root", "download", "on_corrupt"}  # of `data`: where the examples are, not what they are
_CLAIM = {"kind", "a", "b", "trend", "metric", "margin", "smallest_effect", "within", "against"}  # not its text


def build_deciding_content(study: Study) -> dict[str, Any]:
    """Everything that decides what the study will say, as plain JSON data: claims and variants by their names.

    Texts, expectations, places of data and the machine are left out.
    """
    base = study.without_winners().base  # what the tuning finds is a result, its space and budget decide
    found = {
        "claims": {claim.id: claim.model_dump(mode="json", include=_CLAIM) for claim in study.claims},
        "smallest_effect": study.smallest_effect,
        "seeds": {"all": study.seed_list, "looks": study.looks},
        "horizons": study.horizons,
        "tune": study.as_written("tune"),
        "design": study.as_written("design"),
        "base": {
            "arch": base.arch.model_dump(mode="json", exclude_defaults=True),
            "data": base.data.model_dump(mode="json", exclude_defaults=True, exclude=_PLACES),
            "train": base.train.model_dump(mode="json", exclude_defaults=True, exclude={"keep"}),  # keep: no result
        },
        "variants": {variant.name: variant.changes for variant in study.variants[1:]},
    }
    plain: dict[str, Any] = json.loads(_canonical(found))  # as it comes back from a file: tuples are lists
    return plain


def hash_content(decides: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of its canonical JSON."""
    return hashlib.sha256(_canonical(decides).encode()).hexdigest()[:16]


def find_registration_changes(registration: Mapping[str, Any], study: Study, decides: Mapping[str, Any]) -> list[str]:
    """Paths of what a study decides otherwise than its registration; `registered` where the date is another."""
    day = study.registered.isoformat() if study.registered is not None else None
    return [
        *(["registered"] if registration["date"] != day else []),
        *list_changed_parts(registration["deciding"], decides),
    ]


def list_changed_parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Paths of everything that differs: `claims[small].margin`, `variants[five].arch.kernel`, `seeds`."""
    found: list[str] = []
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if key in ("claims", "variants") and isinstance(one, Mapping) and isinstance(other, Mapping):
            found += _differences(key, one, other, by_name=True)
        elif key == "base" and isinstance(one, Mapping) and isinstance(other, Mapping):
            found += [path for part in one for path in _differences(part, one[part], other.get(part, {}))]
        elif one != other:
            found.append(key)
    return found


def _differences(
    path: str, one: Mapping[str, Any], other: Mapping[str, Any], *, by_name: bool = False
) -> Iterator[str]:
    """Of two mappings; of members with names, one level deeper. What only one of them has is its own path."""
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) == other.get(name) and (name in one) == (name in other):
            continue
        if not by_name:
            yield f"{path}.{name}"
        elif name in one and name in other:
            yield from _differences(f"{path}[{name}]", one[name], other[name])
        else:
            yield f"{path}[{name}]"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
