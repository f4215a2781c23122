"""What TensorRT-RTX compiles: at once, for the shape that runs, and kept for the next process."""

from __future__ import annotations

import logging
import os
import threading

import pytest
from mambapro.errors import SetupError
from mambapro.plugins.cuda.memory import Gpu
from mambapro.runtime.backends.tensorrt.kernel_cache import Kernels, kernel_file
from trt_bench import Bench, assert_right

COMPILED = "kernels compiled"


@pytest.fixture
def rtx(tmp_path, monkeypatch):
    """TensorRT-RTX alone."""
    return Bench("rtx", tmp_path, monkeypatch)


def session(bench, *samples):
    """How often a new backend compiles for batches."""
    before = bench.driver.calls[COMPILED]
    backend = bench.open()
    for number in samples:
        assert_right(backend, number)
    backend.close()
    assert bench.driver.leaks() == {}
    return bench.driver.calls[COMPILED] - before


class TestSpecialization:
    def test_every_shape_runs_on_its_own_kernels_at_once(self, rtx):
        """Not on the general ones that the library takes meanwhile unless it is told otherwise."""
        backend = rtx.open()
        assert_right(backend, 3)

        context = backend._idle[0]._contexts[0]
        strategies = rtx.trt.DynamicShapesKernelSpecializationStrategy
        assert context._config.dynamic_shapes_kernel_specialization_strategy == strategies.EAGER
        assert not context._general


class TestKept:
    def test_the_next_process_compiles_what_is_new(self, rtx):
        """By shape; the file is complete after every new one, closed or not."""
        assert session(rtx, 1, 2, 1, 2) == 2
        assert session(rtx, 1, 2, 3) == 1

        backend = rtx.open()
        assert_right(backend, 4)
        other = rtx.open()
        assert_right(other, 4)
        assert rtx.driver.calls[COMPILED] == 4

    def test_lanes_share_them(self, rtx):
        """A second stream of a backend finds what the first compiled."""
        backend = rtx.open()
        with backend._device.current():
            backend._idle.append(backend._new_lane())

        for _ in range(2):
            assert_right(backend, 2)
            backend._idle.reverse()

        assert rtx.driver.calls[COMPILED] == 1

    @pytest.mark.parametrize("content", [b"", b"junk", b'{"version": "1.5.0", "shapes": []}'])
    def test_a_damaged_file_is_a_warning(self, rtx, caplog, content):
        """It is compiled again, and the file is good afterwards."""
        file = kernel_file(rtx.trt.__version__, Gpu("Fake GPU 0", "8.6"))
        file.parent.mkdir(parents=True)
        file.write_bytes(content)

        with caplog.at_level(logging.WARNING, "mambapro"):
            assert session(rtx, 2) == 1

        assert f"{file} does not hold kernels for this GPU and driver" in caplog.text
        assert session(rtx, 2) == 0

    def test_a_file_that_cannot_be_read_or_written_is_a_warning(self, rtx, caplog):
        """One for each; the numbers are right."""
        kernel_file(rtx.trt.__version__, Gpu("Fake GPU 0", "8.6")).mkdir(parents=True)

        with caplog.at_level(logging.WARNING, "mambapro"):
            assert session(rtx, 1, 2, 3) == 3

        assert caplog.text.count("cannot be read") == caplog.text.count("are not kept") == 1

    def test_under_a_umask_for_groups(self, rtx):
        """The file is written by this user alone, so that the next process may load it."""
        before = os.umask(0o002)
        try:
            assert session(rtx, 2) == 1
        finally:
            os.umask(before)

        assert session(rtx, 2) == 0

    def test_versions_and_gpus_have_files_of_their_own(self, rtx):
        """Under the user's cache folder, by names that every file system takes."""
        file = kernel_file("1.7.1.116", Gpu("NVIDIA RTX A4000", "8.6"))

        assert file == rtx.folder / "cache" / "kernels" / "tensorrt-rtx-1.7.1.116-nvidia-rtx-a4000-8.6.cache"

    def test_tensorrt_keeps_none(self, one):
        """Its engines hold their kernels."""
        assert session(one, 1, 2) == 0
        assert not (one.folder / "cache").exists()


def test_one_compiles_at_a_time(tmp_path):
    """A second thread waits until the first has compiled and kept it."""
    kernels, inside, order = Kernels(tmp_path / "x.cache"), threading.Event(), []

    def second():
        assert inside.wait(20)
        with kernels.compiling():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with kernels.compiling():
        inside.set()
        thread.join(0.2)
        order.append("first")
    thread.join(20)

    assert order == ["first", "second"]


def test_kernels_that_another_user_may_have_written(rtx, caplog):
    """They are code for the GPU: a file that others may write is left alone with a warning, as is one behind a link."""
    assert session(rtx, 1) == 1
    (file,) = (rtx.folder / "cache" / "kernels").glob("*.cache")
    file.chmod(0o666)

    with caplog.at_level(logging.WARNING, "mambapro"):
        assert session(rtx, 1) == 1

    assert "may be written by others (mode 0666)" in caplog.text


def test_without_a_cache_folder_kernels_are_not_kept(rtx, monkeypatch, caplog):
    """A user without a home directory is told once, and the engine runs."""

    def homeless():
        raise SetupError("There is no place for the cache")

    monkeypatch.setattr("mambapro.runtime.backends.tensorrt.kernel_cache.cache_folder", homeless)

    with caplog.at_level(logging.WARNING, "mambapro"):
        assert session(rtx, 1, 2) == 2

    assert "Compiled kernels are not kept: There is no place for the cache" in caplog.text
