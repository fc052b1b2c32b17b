"""The same costs by fvcore's tracing of the module that trains; an operator that it cannot count is an error."""

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

_FREE = {  # operators that do no multiply-accumulates of convolutions or dense layers, each with its reason
    "aten::max_pool2d": "compares",
    "aten::avg_pool2d": "adds; `macs` are those of weights",
    "aten::relu_": "compares",
    "aten::relu": "compares",
    "aten::leaky_relu": "one multiplication a value: `macs` are those of weights",
    "aten::elu": "elementwise",
    "aten::gelu": "elementwise",
    "aten::silu": "elementwise",
    "aten::tanh": "elementwise",
    "aten::dropout": "nothing in eval mode",
    "aten::dropout_": "nothing in eval mode",
    "aten::mul": "the elementwise steps of local response normalisation",
    "aten::add": "the same",
    "aten::div": "the same",
    "aten::pow": "the same",
    "aten::constant_pad_nd": "the same",
    "aten::pad": "the same",
    "aten::avg_pool3d": "the same",
    "aten::unsqueeze": "the same",
    "aten::squeeze": "the same",
}
_MACS = ("conv", "linear", "addmm", "matmul")  # what fvcore calls the operators that `macs` counts


class FlopAuditError(Exception):
    """fvcore met an operator that is in no list, or counts something else than the closed form: a bug to report."""


@lru_cache(maxsize=256)
def _audited(arch: Arch) -> tuple[int, int]:
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    assert arch.image_size is not None
    assert arch.in_channels is not None
    model = build_model(arch).eval()  # in train mode the trace would change batch statistics
    analysis = FlopCountAnalysis(model, torch.zeros(1, arch.in_channels, arch.image_size, arch.image_size))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with warnings.catch_warnings():  # it traces with torch.jit, as above
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        counted = analysis.by_operator()
        unknown = set(analysis.unsupported_ops()) - _FREE.keys()
    if unknown:
        raise FlopAuditError(f"fvcore cannot count {', '.join(sorted(unknown))} in {arch.to_notation()!r}")
    macs = sum(count for name, count in counted.items() if name in _MACS)
    return sum(parameter.numel() for parameter in model.parameters()), int(macs)


def audit_costs(arch: Arch) -> dict[str, int]:
    """`params` and `macs` by tracing. Raises Uncounted where they are not those of the closed form."""
    params, macs = _audited(arch)
    closed = compute_costs(arch)
    if (params, macs) != (closed.params, closed.macs):
        raise FlopAuditError(
            f"fvcore counts {params} params, {macs} macs; the closed form {closed.params}, {closed.macs}"
        )
    return {"params": params, "macs": macs}
