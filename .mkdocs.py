"""What GitHub's Markdown does and Python-Markdown does not: a pipe in a table's cell is written \\|, in code too."""

import re
from typing import Any


def on_page_content(html: str, **_: Any) -> str:
    return re.sub(r"<td.*?</td>", lambda cell: cell[0].replace(r"\|", "|"), html, flags=re.DOTALL)
