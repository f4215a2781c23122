"""Files that file managers and file systems create in every folder; named in messages and ignored."""

from __future__ import annotations

import re

_LITTER = re.compile(
    r"\.DS_Store|\.localized|Thumbs\.db|ehthumbs\.db|desktop\.ini|\._.+|\.nfs[0-9a-f]+|@eaDir|#recycle|\.directory"
    # layout of a Kubernetes volume: links to the current folder
    r"|\.\.data|\.\.\d{4}_\d\d_\d\d_.+",
    re.IGNORECASE,
)


def is_litter(name: str) -> bool:
    """Return True if a file, by its name relative to a folder, is one of those, or lies in such a folder."""
    return any(_LITTER.fullmatch(part) for part in name.split("/"))
