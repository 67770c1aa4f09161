from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from nexusai._internal._credentials import credentials_path, load, save

HERE = "http://127.0.0.1:8000/api/v1"


def test_the_file_is_in_nexus_home():
    assert credentials_path({"NEXUS_HOME": "/somewhere"}) == Path("/somewhere/credentials.json")


def test_the_file_is_in_the_users_home_otherwise():
    assert credentials_path({}) == Path.home() / ".nexusai" / "credentials.json"


def test_what_is_saved_is_loaded(tmp_path: Path):
    path = tmp_path / "credentials.json"
    save(path, HERE, "nxs_1")
    assert load(path) == {"default": HERE, "platforms": {HERE: {"api_key": "nxs_1"}}}


def test_the_keys_of_other_platforms_stay(tmp_path: Path):
    path = tmp_path / "credentials.json"
    save(path, "http://a/api/v1", "nxs_a")
    save(path, HERE, "nxs_1")

    assert load(path)["platforms"]["http://a/api/v1"] == {"api_key": "nxs_a"}
    assert load(path)["default"] == HERE


def test_only_the_user_can_read_it(tmp_path: Path):
    path = tmp_path / "new" / "home" / "credentials.json"
    old = os.umask(0)
    try:
        save(path, HERE, "nxs_1")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_everybody_could_read_is_replaced_by_one_that_only_the_user_can(tmp_path: Path):
    path = tmp_path / "credentials.json"
    path.write_text("{}")
    path.chmod(0o644)
    save(path, HERE, "nxs_1")
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_else_is_left_beside_it(tmp_path: Path):
    save(tmp_path / "credentials.json", HERE, "nxs_1")
    assert os.listdir(tmp_path) == ["credentials.json"]


def test_a_missing_file_holds_nothing(tmp_path: Path):
    assert load(tmp_path / "none.json") == {}


def test_a_broken_file_holds_nothing_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "credentials.json"
    path.write_text("{nxs_secret")
    with caplog.at_level(logging.WARNING, "nexusai"):
        assert load(path) == {}
    assert str(path) in caplog.text
    assert "nxs_secret" not in caplog.text


def test_a_file_of_another_shape_holds_nothing(tmp_path: Path):
    path = tmp_path / "credentials.json"
    path.write_text("[1]")
    assert load(path) == {}


def test_saving_over_a_broken_file_makes_a_good_one(tmp_path: Path):
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps({"platforms": "nonsense"}))
    save(path, HERE, "nxs_1")
    assert load(path)["platforms"] == {HERE: {"api_key": "nxs_1"}}
