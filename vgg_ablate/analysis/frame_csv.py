"""Run and epoch frames as CSV files that read back exactly, and that spreadsheets do not execute."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from vgg_ablate.analysis.frame import EPOCH_COLUMNS, FACTOR_PREFIX, RUN_COLUMNS, SEARCH_PREFIX, parse_values


def serialize_frame(table: pd.DataFrame) -> str:
    """Return a run or epoch frame as CSV text with unrounded numbers, and texts that spreadsheets do not execute."""
    texts = {name: _quote_formulas(table[name]) for name in table.columns[table.dtypes.map(str) == "str"]}
    return str(table.assign(**texts).to_csv(index=False, lineterminator="\n"))


# A cell that begins with one of these marks is a formula in a spreadsheet. The quote before it is not shown there, and
# `read_csv` removes one.
_FORMULA = re.compile(r"^(?='*[=+@\t\r-])")
_QUOTED_FORMULA = re.compile(r"^'(?='*[=+@\t\r-])")


def _quote_formulas(column: pd.Series[str]) -> pd.Series[str]:
    quoted = {text: text if _is_number(text) else _FORMULA.sub("'", text) for text in column.unique()}
    return column.map(quoted)


def _unquote_formulas(column: pd.Series[str]) -> pd.Series[str]:
    return column.map({text: _QUOTED_FORMULA.sub("", text) for text in column.unique()})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a `runs.csv`, or a CSV file of epochs, with the dtypes and the exact numbers that were written."""
    header = pd.read_csv(path, nrows=0).columns
    columns = EPOCH_COLUMNS if "epoch" in header else RUN_COLUMNS
    dtypes: dict[str, Any] = {name: dtype for name, dtype in columns.items() if name in header}
    # As text first: the default float parser of pandas is off by the last digit, and "" would become NaN in text.
    text = pd.read_csv(path, dtype=str, keep_default_na=False).apply(_unquote_formulas)
    parsed = {name: _parse_column(text[name], dtype) for name, dtype in dtypes.items()}
    factors = {name: text[name].astype("str") for name in header if name.startswith(FACTOR_PREFIX)}
    searched = {name: parse_values(text[name]) for name in header if name.startswith(SEARCH_PREFIX)}
    return pd.DataFrame({**parsed, **factors, **searched})


def _parse_column(column: pd.Series[str], dtype: Any) -> pd.Series[Any]:
    if dtype == "Int64":
        return pd.Series([pd.NA if value == "" else int(value) for value in column], dtype=dtype)
    if dtype == "boolean":
        return column.map({"True": True, "False": False}).astype(dtype)
    return column.replace("", "nan").astype(dtype) if dtype == "float64" else column.astype(dtype)
