"""The registered content of a study: everything that decides its outcome, as plain data with a hash.

It is stored in the manifest before the first training and compared with the study on every later start.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vgg_ablate.config.content_hash import dump_canonical_json
from vgg_ablate.config.study import Study

# Fields of `data` that do not change the examples.
_LOCATION_FIELDS = {"root", "download", "on_corrupt", "follow_links"}
_CLAIM_FIELDS = {"kind", "a", "b", "trend", "metric", "margin", "smallest_effect", "within", "against"}  # not the text


def build_deciding_content(study: Study) -> dict[str, Any]:
    """Return everything that decides the outcome of a study as plain JSON data, with claims and variants by name.

    Texts, expectations, the location of the data and the machine are not part of it.
    """
    # The space and budget of the tuning are registered; its winners are a result.
    base = study.without_winners().base
    content = {
        "claims": {claim.id: claim.model_dump(mode="json", include=_CLAIM_FIELDS) for claim in study.claims},
        "smallest_effect": study.smallest_effect,
        # A rule to stop is named only where there is one, so that registrations without it keep their hash.
        "seeds": {"all": study.seed_list, "looks": study.looks, **({"stop": study.stop.rule} if study.stop else {})},
        "horizons": study.horizons,
        "tune": study.get_written_value("tune"),
        "design": study.get_written_value("design"),
        "base": {
            "arch": base.arch.model_dump(mode="json", exclude_defaults=True),
            "data": base.data.model_dump(mode="json", exclude_defaults=True, exclude=_LOCATION_FIELDS),
            "train": base.train.model_dump(
                mode="json", exclude_defaults=True, exclude={"keep"}
            ),  # keep changes no result
        },
        "variants": {variant.name: variant.changes for variant in study.variants[1:]},
    }
    # The round trip turns tuples into lists, so that the content equals the one read back from a manifest.
    plain: dict[str, Any] = json.loads(dump_canonical_json(content))
    return plain


def find_registration_changes(registration: Mapping[str, Any], study: Study, content: Mapping[str, Any]) -> list[str]:
    """Return the paths in which a study differs from its registration; `registered` if the date differs.

    `registration` is the entry of the manifest, `content` that of `build_deciding_content(study)`.
    """
    date = study.registered.isoformat() if study.registered is not None else None
    changed_date = ["registered"] if registration["date"] != date else []
    return [*changed_date, *list_changed_parts(registration["deciding"], content)]


def list_changed_parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the paths of all differences, such as `claims[small].margin`, `variants[five].arch.kernel` or `seeds`."""
    paths: list[str] = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if key in ("claims", "variants") and isinstance(old, Mapping) and isinstance(new, Mapping):
            paths += _list_differences(key, old, new, by_name=True)
        elif key == "base" and isinstance(old, Mapping) and isinstance(new, Mapping):
            paths += [path for part in old for path in _list_differences(part, old[part], new.get(part, {}))]
        elif old != new:
            paths.append(key)
    return paths


def _list_differences(
    path: str, old: Mapping[str, Any], new: Mapping[str, Any], *, by_name: bool = False
) -> Iterator[str]:
    """Yield the path of every key that differs; with `by_name` one level deeper, in what both mappings have."""
    for name in sorted(old.keys() | new.keys()):
        # A key with the value null differs from a missing key.
        if old.get(name) == new.get(name) and (name in old) == (name in new):
            continue
        if not by_name:
            yield f"{path}.{name}"
        elif name in old and name in new:
            yield from _list_differences(f"{path}[{name}]", old[name], new[name])
        else:
            yield f"{path}[{name}]"
