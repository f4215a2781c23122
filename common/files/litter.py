"""Files that file managers and file systems leave in every folder they show: nobody's data, named and ignored."""

from __future__ import annotations

import re

_LITTER = re.compile(
    r"\.DS_Store|\.localized|Thumbs\.db|ehthumbs\.db|desktop\.ini|\._.+|\.nfs[0-9a-f]+|@eaDir|#recycle|\.directory"
    # how Kubernetes lays out a volume: links to the folder of the day
    r"|\.\.data|\.\.\d{4}_\d\d_\d\d_.+",
    re.IGNORECASE,
)


def is_litter(name: str) -> bool:
    """Whether a file, by its name relative to a folder, is one of those, or lies in a folder of theirs."""
    return any(_LITTER.fullmatch(part) for part in name.split("/"))
