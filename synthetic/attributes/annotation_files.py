"""Annotation files of the drawn sets, in the published formats."""

from __future__ import annotations

import io
import json
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SetupError
from ..part_map import TRAIT_STREAM, generator
from .attribute_sets import PARTS, PlannedSet
from .image_names import SCENES, image_names, scene_of_image

#: Partitions that the publishers of PETA and RAP offer; the first one is that of the plan.
RUNS = 5
#: Columns before the labels of PETA: numbers of image, person and camera, and a spare one.
_PETA_COLUMNS = 4
#: Attributes of RAPv2; those of no drawn trait are absent. Columns that are evaluated, counted from 1.
_RAPV2_ATTRIBUTES = 152
_RAPV2_SELECTED = range(13, 67)
#: MATLAB's files begin with a text that holds the time, which differs from run to run.
_HEADER = b"MATLAB 5.0 MAT-file, drawn by mambapro".ljust(116)
_CROSS_DOMAIN = {
    "split_1": (
        ("Constuction Site", "Market", "Kitchens", "School", "Ski Resort"),
        ("Outdoors1", "Outdoors2", "Outdoors3"),
    ),
    "split_2": (
        ("Market", "Outdoors1", "Outdoors2", "Outdoors3"),
        ("Constuction Site", "Kitchens", "School", "Ski Resort"),
    ),
}


def require_packages(name: str) -> None:
    """Check, before anything is drawn, that what the format needs is installed.

    Raises:
        SetupError: SciPy is missing.
    """
    if any(file.endswith(".mat") for file in FILES[name]):
        try:
            import scipy.io  # noqa: F401
        except ModuleNotFoundError as error:
            raise SetupError(
                f"The annotation of {name} is a MATLAB file, which needs the package scipy, and that is not installed: "
                'pip install "mambapro[train]". wider and msp60k are text and JSON.'
            ) from error


def write_annotation(planned: PlannedSet, root: Path) -> None:
    """Write the annotation of a set below its folder."""
    for file, content in FILES[planned.name].items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(planned))


def _pa100k(planned: PlannedSet) -> bytes:
    _, names = image_names(planned.name, len(planned))
    variables: dict[str, Any] = {"attributes": _cells(planned.attributes)}
    for part, rows in planned.parts.items():
        variables[f"{part}_images_name"] = _cells([names[row] for row in rows])
        variables[f"{part}_label"] = planned.labels[rows]
    return _matlab(variables)


def _peta(planned: PlannedSet) -> bytes:
    count = len(planned)
    numbers = np.stack([np.arange(1, count + 1), planned.identities + 1, np.ones(count), np.zeros(count)], axis=1)
    partitions = [
        {f"{part}_index": (rows + 1)[:, None] for part, rows in parts.items()} for parts in _partitions(planned)
    ]
    peta = {
        "data": np.hstack([numbers, planned.labels.astype(np.float64)]),
        "attribute": _cells(planned.attributes),
        "selected_attribute": np.arange(1, 36)[:, None],
        "partition_attribute": _cells(partitions),
    }
    return _matlab({"peta": peta})


def _rapv1(planned: PlannedSet) -> bytes:
    _, names = image_names(planned.name, len(planned))
    partitions = [
        {"train_index": (parts["train"] + 1)[None], "test_index": (parts["test"] + 1)[None]}
        for parts in _partitions(planned)
    ]
    annotation = {
        "partion": _cells(partitions),
        "label": planned.labels,
        "attribute_chinese": _cells(planned.attributes),
        "attribute_eng": _cells(planned.attributes),
        "position": np.zeros((len(planned), 16)),
        "imagesname": _cells(names),
        "attribute_exp": _cells(planned.attributes[:51]),
    }
    return _matlab({"RAP_annotation": annotation})


def _rapv2(planned: PlannedSet) -> bytes:
    _, names = image_names(planned.name, len(planned))
    partitions = [{f"{part}_index": (rows + 1)[None] for part, rows in parts.items()} for parts in _partitions(planned)]
    rest = _RAPV2_ATTRIBUTES - len(planned.attributes)
    annotation = {
        "name": _cells(names),
        "attribute": _cells([*planned.attributes, *(f"not-drawn-{number}" for number in range(rest))]),
        "data": np.pad(planned.labels, ((0, 0), (0, rest))),
        "selected_attribute": np.array(_RAPV2_SELECTED)[None],
        "partition_attribute": _cells(partitions).T,
    }
    return _matlab({"RAP_annotation": annotation})


def _partitions(planned: PlannedSet) -> list[dict[str, npt.NDArray[np.int64]]]:
    """Return the plan's partition and further random ones of the same sizes."""
    rng = generator(planned.seed, TRAIT_STREAM, planned.kind.number, 1)
    ends = np.cumsum([len(planned.parts[part]) for part in PARTS])[:-1]
    others = [np.split(rng.permutation(len(planned)), ends) for _ in range(RUNS - 1)]
    return [planned.parts, *(dict(zip(PARTS, map(np.sort, rows), strict=True)) for rows in others)]


def _cells(values: Any) -> npt.NDArray[np.object_]:
    """Return a column of MATLAB cells."""
    cells = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        cells[row, 0] = value
    return cells


def _matlab(variables: dict[str, Any]) -> bytes:
    from scipy.io import savemat

    file = io.BytesIO()
    savemat(file, variables, do_compression=True)
    return _HEADER + file.getvalue()[len(_HEADER) :]


def _zero_shot(planned: PlannedSet) -> bytes:
    """Pickle the partition as published: objects of the package easydict, which need not be installed."""
    module = types.ModuleType("easydict")
    mapping = type("EasyDict", (dict,), {"__module__": "easydict"})
    vars(module)["EasyDict"] = mapping

    def easy(content: dict[str, Any]) -> Any:
        value = mapping(content)
        vars(value).update(content)
        return value

    content = easy({"partition": easy({part: rows.tolist() for part, rows in planned.parts.items()})})
    known = sys.modules.get("easydict")
    sys.modules["easydict"] = module
    try:
        return pickle.dumps(content, protocol=3)
    finally:
        del sys.modules["easydict"]
        if known is not None:
            sys.modules["easydict"] = known


def _wider_names(part: str) -> Callable[[PlannedSet], bytes]:
    def write(planned: PlannedSet) -> bytes:
        _, names = image_names(planned.name, len(planned))
        return _lines([names[row] for row in planned.parts[part]])

    return write


def _wider_labels(part: str) -> Callable[[PlannedSet], bytes]:
    def write(planned: PlannedSet) -> bytes:
        # -1 is absent, and 0 not specified, which counts as absent
        rows = [
            [1 if value else -((row + column) % 7 > 0) for column, value in enumerate(planned.labels[row].tolist())]
            for row in planned.parts[part].tolist()
        ]
        return _lines([f"[{', '.join(map(str, row))}]" for row in rows])

    return write


def _wider_attributes(planned: PlannedSet) -> bytes:
    return _lines(planned.attributes)


def _lines(lines: Any) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def _msp_random(planned: PlannedSet) -> bytes:
    _, names = image_names(planned.name, len(planned))
    labels = planned.labels.tolist()
    return _json({part: {names[row]: labels[row] for row in rows.tolist()} for part, rows in planned.parts.items()})


def _msp_scenes(planned: PlannedSet) -> bytes:
    _, names = image_names(planned.name, len(planned))
    scenes: dict[str, list[str]] = {scene: [] for scene in SCENES}
    for row, name in enumerate(names):
        scenes[scene_of_image(row, len(names))].append(name)
    split = {name: {"trainval": train, "test": test, "drop": []} for name, (train, test) in _CROSS_DOMAIN.items()}
    return _json({"split": split, "image_names": scenes})


def _msp_labels(planned: PlannedSet) -> bytes:
    _, names = image_names(planned.name, len(planned))
    return _json(dict(zip(names, planned.labels.tolist(), strict=True)))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode("ascii")


#: Files of each set and what they hold.
FILES: dict[str, dict[str, Callable[[PlannedSet], bytes]]] = {
    "pa100k": {"annotation.mat": _pa100k},
    "peta": {"PETA.mat": _peta},
    "rapv1": {"RAP_annotation/RAP_annotation.mat": _rapv1},
    "rapv2": {"RAP_annotation/RAP_annotation.mat": _rapv2},
    "wider": {
        "Annotations/trainval_name.txt": _wider_names("train"),
        "Annotations/trainval_gt_label.txt": _wider_labels("train"),
        "Annotations/test_name.txt": _wider_names("test"),
        "Annotations/test_gt_label.txt": _wider_labels("test"),
        "Annotations/attr_name.txt": _wider_attributes,
    },
    "peta-zs": {"PETA.mat": _peta, "dataset_zs_run0.pkl": _zero_shot},
    "rap-zs": {"RAP_annotation/RAP_annotation.mat": _rapv2, "dataset_zs_run0.pkl": _zero_shot},
    "msp60k": {"random_split.json": _msp_random, "Multi_Sences2.json": _msp_scenes, "merged_labels.json": _msp_labels},
}
