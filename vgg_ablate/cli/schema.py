"""`schema`: the JSON Schema of study files."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of study files, for editors. schemas/study.schema.json is this output."""
    import json

    from vgg_ablate.config import json_schema

    print(json.dumps(json_schema.build_schema(), indent=1))
