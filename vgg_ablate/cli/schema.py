"""`schema`: the JSON Schema of a study file, for editors."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of a study file."""
    import json

    from vgg_ablate.spec.study import Written

    print(json.dumps(Written.model_json_schema(), indent=1))
