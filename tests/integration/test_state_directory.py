"""The key beside the database: made once, whole or not at all, and nobody else's to read."""

from pathlib import Path

import pytest

from watcher import bootstrap
from watcher.service.errors import StateInUseError, StoreError


def test_the_key_of_the_target_ids_is_made_once_and_kept(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    key = bootstrap._key(directory, "target.key")

    assert len(key) == 32
    assert bootstrap._key(directory, "target.key") == key
    assert [path.name for path in directory.iterdir()] == ["target.key"]
    assert (directory / "target.key").stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("name", "left"), [("target.key", ""), ("target.new", ""), ("target.new", "abcd")])
def test_what_a_death_amid_its_making_left_behind_is_no_key(tmp_path: Path, name: str, left: str) -> None:
    (tmp_path / name).write_text(left)
    key = bootstrap._key(tmp_path, "target.key")

    assert len(key) == 32
    assert bootstrap._key(tmp_path, "target.key") == key


def test_a_key_that_is_none_is_told_and_kept(tmp_path: Path) -> None:
    (tmp_path / "target.key").write_text("not a key")
    with pytest.raises(StoreError, match=r"target\.key"):
        bootstrap._key(tmp_path, "target.key")

    assert (tmp_path / "target.key").read_text() == "not a key"


def test_a_state_directory_belongs_to_one_process_until_it_lets_go(tmp_path: Path) -> None:
    with bootstrap.state_lock(tmp_path), pytest.raises(StateInUseError, match="in use"), bootstrap.state_lock(tmp_path):
        pass
    with bootstrap.state_lock(tmp_path):
        pass
