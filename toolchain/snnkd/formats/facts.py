"""JSON objects that files carry beside a network, not to be trusted."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


def parsed(text: str) -> Any:
    """Reads JSON data. Raises ValueError for what is none, for numbers that are not finite and for halves of
    characters, which could not be written again."""

    def finite(word: str) -> float:
        value = float(word)
        if not np.isfinite(value):
            raise ValueError(f"{word[:20]} is no number")
        return value

    try:
        data = json.loads(text, parse_constant=finite, parse_float=finite)
        json.dumps(data, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return data
