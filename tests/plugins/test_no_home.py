"""Users without a home directory, as containers run them: a message that names the variable, or nothing is needed."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest
from mambapro.cli.main import run
from mambapro.errors import SetupError
from mambapro.plugins.compile import cache_folder


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No HOME, no cache folder named, and no entry in the list of users."""
    for name in ("HOME", "XDG_CACHE_HOME", "MAMBAPRO_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    return monkeypatch


def test_no_home_is_a_setup_error(homeless: pytest.MonkeyPatch) -> None:
    """SetupError, exit code 3, names the variable."""
    with pytest.raises(SetupError, match=r"no home directory\. Let \$MAMBAPRO_CACHE name a folder"):
        cache_folder()


def test_a_home_that_is_no_place_is_none(homeless: pytest.MonkeyPatch) -> None:
    """A relative one would put the cache into whatever folder the command runs in."""
    homeless.setenv("HOME", "relative")
    homeless.setenv("XDG_CACHE_HOME", "relative")

    with pytest.raises(SetupError, match=r"\$MAMBAPRO_CACHE"):
        cache_folder()


def test_the_variables_are_enough(homeless: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$XDG_CACHE_HOME or $MAMBAPRO_CACHE name a place without a home."""
    homeless.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mambapro"
    homeless.setenv("MAMBAPRO_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_commands_of_an_unknown_user_end_in_words(
    homeless: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`plugins build` ends with exit code 3 and says what to set; no traceback."""
    assert run(["plugins", "build", "openvino"]) == 3

    assert "$MAMBAPRO_CACHE" in capsys.readouterr().err
