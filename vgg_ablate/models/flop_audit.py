"""Costs of the module that trains, counted by a library and compared with the closed form of models/costs.py.

Every recorded run is audited, so that a record's `macs` never rest on one implementation alone. fvcore counts; an
operator that it cannot count is an error unless it is listed here with the reason why it adds nothing. fvcore needs
torch.jit, which torch has deprecated: where torch.jit is gone, torch's own FlopCounterMode counts instead.
"""

from __future__ import annotations

import logging
import warnings
from functools import cache, lru_cache
from types import ModuleType

import torch
from torch.utils.flop_counter import FlopCounterMode

from vgg_ablate.config.arch import Arch
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.models.vgg import build_model

_LRN_STEP = "an elementwise or averaging step of local response normalisation"
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
    """A counted number differs from the closed form, or fvcore met an unlisted operator. This is a bug to report."""


@cache
def _load_fvcore() -> ModuleType | None:
    """Return fvcore.nn, or None where it cannot be imported."""
    with warnings.catch_warnings():  # fvcore 0.1.5 scripts functions when it is imported, which torch 2.15 warns of
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        try:
            import fvcore.nn
        except (ImportError, AttributeError):  # AttributeError: `torch.jit.script` at import, in a torch without it
            return None
    return fvcore.nn  # type: ignore[no-any-return]


def name_flop_counter() -> str:
    """Return the name of the library that `audit_costs` counts with: "fvcore" or "torch"."""
    return "torch" if _load_fvcore() is None else "fvcore"


def count_with_torch(arch: Arch) -> tuple[int, int]:
    """Return params and MACs by torch's FlopCounterMode, which counts two FLOPs per MAC."""
    with torch.device("meta"):  # shapes alone decide what is counted
        model, images = _build_traced(arch)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    return _count_params(model), counter.get_total_flops() // 2


@lru_cache(maxsize=256)
def count_with_fvcore(arch: Arch) -> tuple[int, int]:
    """Return params and MACs by fvcore. Tracing takes seconds for large nets, so that the answers are kept."""
    fvcore = _load_fvcore()
    assert fvcore is not None
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    model, images = _build_traced(arch)
    analysis = fvcore.FlopCountAnalysis(model, images)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with warnings.catch_warnings():  # fvcore traces with torch.jit, which torch 2.15 warns of
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        counts = analysis.by_operator()
        unknown = set(analysis.unsupported_ops()) - _UNCOUNTED_OPERATORS.keys()
    if unknown:
        raise FlopAuditError(f"fvcore cannot count {', '.join(sorted(unknown))} in {arch.to_notation()!r}")
    macs = sum(count for name, count in counts.items() if name in _MAC_OPERATORS)
    return _count_params(model), int(macs)


def _build_traced(arch: Arch) -> tuple[torch.nn.Module, torch.Tensor]:
    """Return the module and one black image, 1 x C x H x W."""
    assert arch.image_size is not None
    assert arch.in_channels is not None
    model = build_model(arch).eval()  # in train mode the trace would change batch statistics
    return model, torch.zeros(1, arch.in_channels, arch.image_size, arch.image_size)


def _count_params(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def audit_costs(arch: Arch) -> dict[str, int]:
    """Return `params` and `macs` as a library counts them. Raises FlopAuditError where the closed form differs."""
    params, macs = count_with_torch(arch) if _load_fvcore() is None else count_with_fvcore(arch)
    costs = compute_costs(arch)
    if (params, macs) != (costs.params, costs.macs):
        raise FlopAuditError(
            f"{name_flop_counter()} counts {params} params and {macs} macs, "
            f"the closed form {costs.params} and {costs.macs}"
        )
    return {"params": params, "macs": macs}
