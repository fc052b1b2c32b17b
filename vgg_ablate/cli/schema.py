"""`schema`: the JSON Schema of a study file, for editors."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of a study file, as editors use it: schemas/study.schema.json is this."""
    import json

    from vgg_ablate.config import json_schema as written

    print(json.dumps(written.build_schema(), indent=1))
