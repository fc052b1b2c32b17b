"""The head of an arch: pooling, hidden dense layers and the class layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vgg_ablate.config.types import Flag, Fraction, FrozenModel, InvalidValueError, Size


class EqualLayers(FrozenModel):
    """Hidden dense layers of one size, so that their number and their size can be two factors."""

    layers: Annotated[int, Field(strict=True, ge=0, le=3)]
    """Number of hidden layers. Example: 2"""
    units: Size
    """Size of each hidden layer. Unit: units. Example: 64"""


def _expand_equal_layers(value: Any) -> Any:
    """Expand `{layers: 2, units: 64}` to [64, 64]; return other values unchanged."""
    if isinstance(value, list | tuple):
        return value
    if not isinstance(value, Mapping):
        raise InvalidValueError("must be a list such as [64], or a mapping such as {layers: 1, units: 64}", got=value)
    if unknown := value.keys() - EqualLayers.model_fields.keys():
        raise InvalidValueError("unknown key; expected layers and units", field=str(min(unknown, key=str)))
    layers, units = value.get("layers"), value.get("units")
    if type(layers) is not int or not 0 <= layers <= 3:
        raise InvalidValueError("must be an integer from 0 to 3", field="layers", got=layers)
    if type(units) is not int:
        raise InvalidValueError("must be an integer", field="units", got=units)
    return (units,) * layers


class Head(FrozenModel):
    """The layers after the last stage: an optional pooling, hidden dense layers, and the class layer."""

    hidden: Annotated[
        tuple[Size, ...],
        BeforeValidator(_expand_equal_layers, json_schema_input_type=tuple[Size, ...] | EqualLayers),
    ] = Field(default=(), max_length=3)
    """Sizes of the hidden dense layers, or their number and one size, which can be two factors: arch.head.hidden.layers
    and arch.head.hidden.units. An empty list is a head of the class layer alone.

    Unit: units. Example: [64]
    """
    dropout: Fraction = 0.0
    """Probability with which a unit is dropped, after the activation of each hidden layer. Example: 0.5"""
    pool: Literal["none", "global"] | Size = "none"
    """Average pooling before the dense layers: none, global (to 1x1), or n (adaptive, to n x n). Example: global"""
    convolutional: Flag = False
    """Whether the dense layers are convolutions: the same weights, class maps for larger images. Example: true"""
