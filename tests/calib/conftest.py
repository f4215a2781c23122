"""The tiny model as ONNX files, images to calibrate it with, and a table of scales for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from mambapro.calib.calibrate import CalibrationOptions, calibrate
from mambapro.calib.images import CalibrationImages, calibration_images
from mambapro.export.pytorch.bundle_metadata import describe
from mambapro.export.pytorch.onnx_graph import onnx_from_model
from mambapro.export.pytorch.plan import ExportOptions
from mambapro.graph.cast import typed
from mambapro.graph.scales import ScaleTable
from mambapro.runtime.bundle.metadata import BundleMetadata
from mambapro.runtime.data.modalities import MODALITIES
from mambapro.synthetic.observation import draw_samples
from mambapro.train.models.checkpoints.weights import load_checkpoint
from PIL import Image


@pytest.fixture(scope="session")
def graphs(tiny_checkpoint: Path) -> dict[str, onnx.ModelProto]:
    """The tiny model exported in float32 and float16. Not to be changed."""
    graph = onnx_from_model(load_checkpoint(tiny_checkpoint))
    return {"fp32": graph, "fp16": typed(graph, "fp16")}


@pytest.fixture(scope="session")
def model_file(graphs: dict[str, onnx.ModelProto], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 one as a file."""
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save_model(graphs["fp32"], path)
    return path


@pytest.fixture(scope="session")
def tiny_metadata(tiny_checkpoint: Path) -> BundleMetadata:
    """What its bundle would say."""
    return describe(load_checkpoint(tiny_checkpoint), ExportOptions(tiny_checkpoint, "fp32", output=Path("unused")))


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rgb/, nir/ and tir/ with 20 drawn samples named <identity>_cam<camera>.png."""
    folder = tmp_path_factory.mktemp("images")
    for modality in MODALITIES:
        (folder / modality).mkdir()
    for number, (images, camera) in enumerate(draw_samples("rgbnt201", 20, 5, (64, 32))):
        for modality, pixels in zip(MODALITIES, images, strict=True):
            Image.fromarray(pixels).save(folder / modality / f"{number:03}_cam{camera + 1}.png")
    return folder


@pytest.fixture(scope="session")
def few_images(image_folder: Path, tiny_metadata: BundleMetadata) -> CalibrationImages:
    """Twelve of them, chosen."""
    return calibration_images(
        image_folder, tiny_metadata.preprocessing, count=12, camera_pattern=r"cam(\d)", first_camera=1
    )


@pytest.fixture(scope="session")
def table(model_file: Path, tiny_metadata: BundleMetadata, few_images: CalibrationImages) -> ScaleTable:
    """The tiny model's scales, every default."""
    return calibrate(model_file, tiny_metadata, few_images, CalibrationOptions()).table


@pytest.fixture(scope="session")
def inputs(tiny_metadata: BundleMetadata) -> dict[str, np.ndarray]:
    """Six drawn samples that calibration never saw, as the model's inputs."""
    drawn = draw_samples("rgbnt201", 6, 99, (64, 32))
    images = {modality: np.array([sample[i] for sample, _ in drawn]) for i, modality in enumerate(MODALITIES)}
    cameras = np.array([camera for _, camera in drawn], np.int64)
    return {**images, "camera": cameras, "modality_mask": np.ones((6, 3), np.float32)}
