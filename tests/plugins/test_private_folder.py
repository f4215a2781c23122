"""Code is loaded only from places where nobody but this user and root can have put it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from mambapro.errors import SetupError
from mambapro.plugins import compile as module
from mambapro.plugins.compile import cxx_compiler, shared_library
from mambapro.plugins.private_folder import require_private, why_untrusted

OTHER = 12345
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make files of other users"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MAMBAPRO_CACHE", str(folder))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to compile, with a header beside it."""
    path = tmp_path / "source" / "one.cpp"
    path.parent.mkdir()
    (path.parent / "one.h").write_text("#define VALUE 1\n")
    path.write_text('#include "one.h"\nextern "C" int one() { return VALUE; }\n')
    return path


def compiled(source: Path, *flags: str) -> Path:
    """The library from the cache."""
    return shared_library("one", [source], ["-fPIC", *flags], cxx_compiler())


class TestTrust:
    def test_what_this_user_alone_may_write(self, tmp_path: Path) -> None:
        """A folder and a file of this user are trusted."""
        (tmp_path / "file").touch(0o644)

        assert why_untrusted(tmp_path) is None and why_untrusted(tmp_path / "file") is None

    @pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
    def test_what_others_may_write(self, tmp_path: Path, mode: int) -> None:
        """A file or folder with such a mode is not, and the mode is told; nor is what lies in such a folder."""
        folder = tmp_path / "open"
        folder.mkdir()
        (folder / "file").touch(0o600)
        folder.chmod(mode)

        assert f"{folder} may be written by others (mode {mode:04o})" in str(why_untrusted(folder))
        if mode & 0o002:
            assert f"{folder} may be written by others" in str(why_untrusted(folder / "file"))

    def test_a_folder_like_tmp_is_no_obstacle(self, tmp_path: Path) -> None:
        """Where everybody may write but only owners rename, a private folder inside is trusted."""
        (tmp_path / "tmp" / "own").mkdir(parents=True)
        (tmp_path / "tmp").chmod(0o1777)

        assert why_untrusted(tmp_path / "tmp" / "own") is None

    @needs_root
    @pytest.mark.parametrize("name", ["folder", "folder/file"])
    def test_what_belongs_to_another_user(self, tmp_path: Path, name: str) -> None:
        """Whoever owns a file, or a folder above it, can put anything there."""
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").touch()
        os.chown(tmp_path / name, OTHER, OTHER)

        assert f"{tmp_path / name} belongs to user {OTHER}" in str(why_untrusted(tmp_path / "folder" / "file"))
        with pytest.raises(SetupError, match=f"Nothing is loaded from .* belongs to user {OTHER}"):
            require_private(tmp_path / "folder")

    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        """The last name may be no link, wherever it leads."""
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to(tmp_path / "file")

        assert str(why_untrusted(tmp_path / "link")).endswith("is a link")


class TestCache:
    def test_what_is_compiled_is_private(self, cache: Path, source: Path) -> None:
        """Whatever the umask, nobody else may write into what is compiled."""
        before = os.umask(0o000)
        try:
            library = compiled(source)
        finally:
            os.umask(before)

        for path in (library, library.parent, cache):
            assert path.stat().st_mode & 0o022 == 0
        assert why_untrusted(library) is None

    def test_a_default_cache_is_closed_to_others(
        self, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The user's own cache folder is made with mode 0700."""
        monkeypatch.delenv("MAMBAPRO_CACHE", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

        compiled(source)

        assert (tmp_path / "mambapro").stat().st_mode & 0o777 == 0o700

    def test_a_planted_library_is_not_loaded(self, cache: Path, source: Path) -> None:
        """One that others may write is refused, with what to do; it stays as it is."""
        library = compiled(source)
        library.chmod(0o666)

        with pytest.raises(SetupError, match=r"neither loaded .*libone\.so may be written by others \(mode 0666\)"):
            compiled(source)

    @needs_root
    def test_another_users_library_is_not_loaded(self, cache: Path, source: Path) -> None:
        """Nor one that another user owns, in a folder of ours."""
        os.chown(compiled(source), OTHER, OTHER)

        with pytest.raises(SetupError, match=f"belongs to user {OTHER}"):
            compiled(source)

    def test_a_linked_library_is_not_loaded(self, cache: Path, source: Path, tmp_path: Path) -> None:
        """A link in the library's place is refused, dangling or not."""
        library = compiled(source)
        library.rename(tmp_path / "elsewhere.so")
        library.symlink_to(tmp_path / "elsewhere.so")

        with pytest.raises(SetupError, match="is a link"):
            compiled(source)

    def test_a_lock_that_is_a_link_empties_nothing(self, cache: Path, source: Path, tmp_path: Path) -> None:
        """The file that it leads to keeps its content, and nothing is compiled."""
        library, victim = compiled(source), tmp_path / "victim"
        victim.write_text("precious")
        library.unlink()
        (library.parent / "lock").unlink()
        (library.parent / "lock").symlink_to(victim)

        with pytest.raises(SetupError, match="cannot be written"):
            compiled(source)

        assert victim.read_text() == "precious" and not library.exists()

    @needs_root
    def test_a_cache_that_root_prepared_serves_everybody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another user takes root's library from a cache that he cannot write."""
        # the folders of pytest are closed to others
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            Path(folder).chmod(0o755)
            monkeypatch.setenv("MAMBAPRO_CACHE", f"{folder}/cache")
            source = Path(folder) / "one.cpp"
            source.write_text("int one;\n")
            library = compiled(source)
            os.seteuid(OTHER)
            try:
                found = compiled(source)
                with pytest.raises(SetupError, match="which cannot be written"):
                    compiled(source, "-DNOT_PREPARED")
            finally:
                os.seteuid(0)

        assert found == library

    @needs_root
    def test_in_anothers_cache_each_user_has_a_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A cache like /tmp, of somebody else, gets a folder of this user's own."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            shared = Path(folder) / "shared"
            shared.mkdir()
            monkeypatch.setenv("MAMBAPRO_CACHE", str(shared))
            monkeypatch.setattr(os, "geteuid", lambda: OTHER)
            shared.chmod(0o1777)

            assert module._own_folder(shared) == shared / f"user-{OTHER}"
            monkeypatch.undo()
            assert module._own_folder(shared) == shared


class TestKey:
    def test_flags_and_headers_are_in_the_key(self, cache: Path, source: Path) -> None:
        """Another flag, another header beside the source and another source are other libraries; the same is the
        same."""
        first = compiled(source)
        assert compiled(source) == first

        other_flag = compiled(source, "-DMORE")
        (source.parent / "one.h").write_text("#define VALUE 2\n")
        other_header = compiled(source)
        source.write_text(source.read_text() + "// more\n")
        other_source = compiled(source)

        assert len({first, other_flag, other_header, other_source}) == 4
