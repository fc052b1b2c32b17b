"""The nets that have a name, as plain data: the paper's Table 1, torchvision's models, and the note's.

Every preset is what a person would write by hand under `arch:`; nothing else knows these names.
"""

from __future__ import annotations

from typing import Any

_A = "64 | 128 | 256 256 | 512 512 | 512 512"
_B = "64 64 | 128 128 | 256 256 | 512 512 | 512 512"
_C = "64 64 | 128 128 | 256 256 256@1 | 512 512 512@1 | 512 512 512@1"
_D = "64 64 | 128 128 | 256 256 256 | 512 512 512 | 512 512 512"
_E = "64 64 | 128 128 | 256 256 256 256 | 512 512 512 512 | 512 512 512 512"
_SHALLOW = "64@5 | 128@5 | 256@5 | 512@5 | 512@5"  # paper, section 4.1: B with each 3x3 pair as one 5x5
_NOTE = "64 | 128 128 | 256 256 256 | 512 512 512 | 512 512 512"

_PAPER_INIT = {"kind": "normal", "std": 0.1}  # paper, section 3.1: variance 1e-2
_TORCHVISION_INIT = {"kind": "kaiming", "mode": "fan_out", "head_std": 0.01}


def _paper(stages: str, **more: Any) -> dict[str, Any]:
    head = {"hidden": [4096, 4096], "dropout": 0.5}
    return {"stages": stages, "head": head, "init": dict(_PAPER_INIT), **more}


def _torchvision(stages: str, norm: str = "none") -> dict[str, Any]:
    head = {"hidden": [4096, 4096], "dropout": 0.5, "pool": 7}
    return {"stages": stages, "head": head, "init": dict(_TORCHVISION_INIT), "norm": norm}


PRESETS: dict[str, dict[str, Any]] = {
    "A": _paper(_A),
    "A-LRN": _paper(_A, norm="lrn"),
    "B": _paper(_B),
    "C": _paper(_C),
    "D": _paper(_D),
    "E": _paper(_E),
    "shallow": _paper(_SHALLOW),
    "vgg11": _torchvision(_A),
    "vgg13": _torchvision(_B),
    "vgg16": _torchvision(_D),
    "vgg19": _torchvision(_E),
    "vgg11_bn": _torchvision(_A, "batch"),
    "vgg13_bn": _torchvision(_B, "batch"),
    "vgg16_bn": _torchvision(_D, "batch"),
    "vgg19_bn": _torchvision(_E, "batch"),
    "note": _torchvision(_NOTE),
}
