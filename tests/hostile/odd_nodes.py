"""What is no regular file but has the name of one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_ESCAPE = "escape\x1b[2J\u202e"


def write_all(folder: Path, suffix: str) -> list[Path]:
    """A FIFO, a socket, a folder, links to a device, to nothing and in a circle, an empty file, a huge sparse one."""
    names = ("fifo", "socket", "folder", "device", "dangling", "circle", "empty", "sparse", _ESCAPE)
    paths = {name: folder / f"{name}{suffix}" for name in names}
    os.mkfifo(paths["fifo"])
    _socket(paths["socket"])
    paths["folder"].mkdir()
    paths["device"].symlink_to("/dev/zero")
    paths["dangling"].symlink_to("nowhere")
    paths["circle"].symlink_to(paths["circle"].name)
    paths["empty"].write_bytes(b"")
    with paths["sparse"].open("wb") as file:
        file.truncate(1 << 40)
    paths[_ESCAPE].write_bytes(b"\x1b[31mno file of any kind\n" * 20)
    return list(paths.values())


def _socket(path: Path) -> None:
    """A socket's own path may have a hundred characters only."""
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)
