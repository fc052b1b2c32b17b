"""Costs by fvcore's trace of the module that trains, compared with the closed form of models/costs.py.

Every recorded run is audited, so that a record's `macs` never rest on one implementation alone. An operator that fvcore
cannot count is an error unless it is listed here with the reason why it adds nothing.
"""

from __future__ import annotations

import logging
import warnings
from functools import lru_cache

import torch

with warnings.catch_warnings():  # fvcore 0.1.5 scripts functions when it is imported, which torch 2.15 warns of
    warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
    from fvcore.nn import FlopCountAnalysis

from vgg_ablate.config.arch import Arch
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.models.vgg import build_model

_LRN_STEP = "an elementwise or averaging step of local response normalization"
_UNCOUNTED_OPERATORS = {  # operators that fvcore does not count -> why they add no MACs of convolutions or dense layers
    "aten::max_pool2d": "compares",
    "aten::avg_pool2d": "adds, without weights",
    "aten::relu_": "compares",
    "aten::relu": "compares",
    "aten::leaky_relu": "one multiplication per value, without weights",
    "aten::elu": "elementwise",
    "aten::gelu": "elementwise",
    "aten::silu": "elementwise",
    "aten::tanh": "elementwise",
    "aten::dropout": "does nothing in eval mode",
    "aten::dropout_": "does nothing in eval mode",
    "aten::mul": _LRN_STEP,
    "aten::add": _LRN_STEP,
    "aten::div": _LRN_STEP,
    "aten::pow": _LRN_STEP,
    "aten::constant_pad_nd": _LRN_STEP,
    "aten::pad": _LRN_STEP,
    "aten::avg_pool3d": _LRN_STEP,
    "aten::unsqueeze": _LRN_STEP,
    "aten::squeeze": _LRN_STEP,
}
_MAC_OPERATORS = ("conv", "linear", "addmm", "matmul")  # fvcore's names of what `macs` counts


class FlopAuditError(Exception):
    """fvcore met an operator that is in no list, or disagrees with the closed form. This is a bug to report."""


@lru_cache(maxsize=256)
def _count_by_tracing(arch: Arch) -> tuple[int, int]:
    """Return params and MACs. Tracing takes seconds for large nets, so that the answers are kept."""
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    assert arch.image_size is not None
    assert arch.in_channels is not None
    model = build_model(arch).eval()  # in train mode the trace would change batch statistics
    analysis = FlopCountAnalysis(model, torch.zeros(1, arch.in_channels, arch.image_size, arch.image_size))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with warnings.catch_warnings():  # fvcore traces with torch.jit, which torch 2.15 warns of
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        counts = analysis.by_operator()
        unknown = set(analysis.unsupported_ops()) - _UNCOUNTED_OPERATORS.keys()
    if unknown:
        raise FlopAuditError(f"fvcore cannot count {', '.join(sorted(unknown))} in {arch.to_notation()!r}")
    macs = sum(count for name, count in counts.items() if name in _MAC_OPERATORS)
    return sum(parameter.numel() for parameter in model.parameters()), int(macs)


def audit_costs(arch: Arch) -> dict[str, int]:
    """Return `params` and `macs` as fvcore counts them. Raises FlopAuditError where the closed form differs."""
    params, macs = _count_by_tracing(arch)
    costs = compute_costs(arch)
    if (params, macs) != (costs.params, costs.macs):
        raise FlopAuditError(
            f"fvcore counts {params} params and {macs} macs, the closed form {costs.params} and {costs.macs}"
        )
    return {"params": params, "macs": macs}
