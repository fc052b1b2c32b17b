"""The named nets and training recipes, as plain data: the paper's, torchvision's, and the net of the note.

A preset is what a user would write under `arch:`, a recipe under `train:`. No other module depends on these names.
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


def _build_paper_net(stages: str, **fields: Any) -> dict[str, Any]:
    head = {"hidden": [4096, 4096], "dropout": 0.5}
    return {"stages": stages, "head": head, "init": dict(_PAPER_INIT), **fields}


def _build_torchvision_net(stages: str, norm: str = "none") -> dict[str, Any]:
    head = {"hidden": [4096, 4096], "dropout": 0.5, "pool": 7}
    return {"stages": stages, "head": head, "init": dict(_TORCHVISION_INIT), "norm": norm}


PRESETS: dict[str, dict[str, Any]] = {
    "A": _build_paper_net(_A),
    "A-LRN": _build_paper_net(_A, norm="lrn"),
    "B": _build_paper_net(_B),
    "C": _build_paper_net(_C),
    "D": _build_paper_net(_D),
    "E": _build_paper_net(_E),
    "shallow": _build_paper_net(_SHALLOW),
    "vgg11": _build_torchvision_net(_A),
    "vgg13": _build_torchvision_net(_B),
    "vgg16": _build_torchvision_net(_D),
    "vgg19": _build_torchvision_net(_E),
    "vgg11_bn": _build_torchvision_net(_A, "batch"),
    "vgg13_bn": _build_torchvision_net(_B, "batch"),
    "vgg16_bn": _build_torchvision_net(_D, "batch"),
    "vgg19_bn": _build_torchvision_net(_E, "batch"),
    "note": _build_torchvision_net(_NOTE),
}

RECIPES: dict[str, dict[str, Any]] = {
    "paper": {  # section 3.1; initial weights and pre-training are in `arch.init` and `train.pretrain`
        "epochs": 74,
        "batch_size": 256,
        "lr": 0.01,
        "weight_decay": 5e-4,
        "optimizer": {"kind": "sgd", "momentum": 0.9},
        "schedule": {"kind": "plateau", "factor": 0.1, "max_drops": 3},
    },
    "torchvision": {  # references/classification; nets with batch normalisation use lr 0.1
        "epochs": 90,
        "batch_size": 256,
        "lr": 0.01,
        "weight_decay": 1e-4,
        "optimizer": {"kind": "sgd", "momentum": 0.9},
        "schedule": {"kind": "step", "step_epochs": 30, "factor": 0.1},
    },
}
