"""Patches of an image as tokens, and learned positions with a class token's row among them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ....errors import InputError

#: Ways to resize a position table whose class row is not the first one.
ALIGNED, RELEASED = "aligned", "released"


class PatchEmbedding(nn.Module):
    """Convolution of patches that do not overlap."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """Embed images (B, 3, H, W). Returns tokens (B, patches, width), row-major."""
        return self.proj(images).flatten(2).transpose(1, 2)


def insert_token(tokens: Tensor, token: Tensor, row: int) -> Tensor:
    """Insert a token (1, 1, width) at a row of tokens (B, N, width). Returns (B, N + 1, width)."""
    token = token.expand(tokens.shape[0], -1, -1)
    return torch.cat((tokens[:, :row], token, tokens[:, row:]), 1)


def resize_positions(table: Tensor, grid: tuple[int, int], class_row: int, way: str = ALIGNED) -> Tensor:
    """Resize the positions of a square grid bicubically; unchanged if their number fits already.

    Args:
        table: (1, 1 + side * side, width).
        grid: rows and columns of the model.
        class_row: of the class token among the model's tokens: 0, or the middle.
        way: "aligned" takes the class row out, resizes the patches' rows and inserts it where the model has it;
            "released" takes the first row for the class token's, as the authors' code does for a middle one too.

    Returns:
        (1, 1 + rows * columns, width).

    Raises:
        InputError: the table is none of a square grid, or the way is unknown.
    """
    if way not in (ALIGNED, RELEASED):
        raise InputError(f"position_resize must be {ALIGNED} or {RELEASED}, not {way!r}.")
    rows, columns = grid
    count = table.shape[1] - 1 if table.dim() == 3 and len(table) == 1 else -1
    if count == rows * columns:
        return table
    side = math.isqrt(max(count, 0))
    if not side or side * side != count:
        raise InputError(
            f"A position table of shape {tuple(table.shape)} is none of a square grid and not of {rows} x {columns} "
            "patches: it cannot be resized. Give the image size that the model was trained at."
        )
    old_row = count // 2 if class_row and way == ALIGNED else 0
    new_row = class_row if way == ALIGNED else 0
    patches = torch.cat((table[:, :old_row], table[:, old_row + 1 :]), 1).unflatten(1, (side, side)).permute(0, 3, 1, 2)
    patches = nn.functional.interpolate(patches, grid, mode="bicubic", align_corners=False)
    return insert_token(patches.flatten(2).transpose(1, 2), table[:, old_row : old_row + 1], new_row)
