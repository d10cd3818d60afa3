import json
from pathlib import Path

import pytest

from lenet_multi.commands.doctor import settings
from lenet_multi.machine import keras_start


@pytest.mark.parametrize("name", [*settings.CHANGE_RESULTS, *settings.CHOOSE_MEANS])
def test_a_variable_that_is_set_is_found(name: str, tmp_path: Path) -> None:
    """The finding holds its value, and whether it changes results."""
    environ = {"KERAS_HOME": str(tmp_path), name: str(tmp_path)}
    found = {one.name: one for one in settings.found(environ)}
    assert set(found) == {"KERAS_HOME", name}
    assert found[name].value == str(tmp_path)
    assert found[name].changes_results is (name in settings.CHANGE_RESULTS)
    assert found[name].remedy == f"unset {name}"
    assert found[name].effect == {**settings.CHANGE_RESULTS, **settings.CHOOSE_MEANS}[name]


def test_what_the_package_sets_itself_is_no_finding(tmp_path: Path) -> None:
    """A notebook that has started Keras here hands these variables to its commands."""
    environ = {"KERAS_HOME": str(tmp_path), **keras_start.FOR_A_GPU}
    assert [one.name for one in settings.found(environ)] == ["KERAS_HOME"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("floatx", "float64"),
        ("epsilon", 1e-3),
        ("image_data_format", "channels_first"),
        ("nnx_enabled", True),
    ],
)
def test_keras_json_that_changes_results_is_found(name: str, value: object, tmp_path: Path) -> None:
    """Only a value that differs from Keras's default is reported, with its remedy."""
    path = tmp_path / "keras.json"
    path.write_text(json.dumps({**keras_start.KERAS_SETTINGS, "backend": "jax", name: value}))
    _, found = settings.found({"KERAS_HOME": str(tmp_path)})
    assert (found.name, found.value) == (f"{name} in keras.json", json.dumps(value))
    assert found.effect == "changes results of plain Keras; lenet-multi does not read it"
    assert found.changes_results is True
    own = keras_start.KERAS_SETTINGS.get(name, False)
    assert found.remedy == f"set {name} to {json.dumps(own)} in {path}"


@pytest.mark.parametrize(
    ("content", "name", "value"),
    [
        ("[]", "keras.json", "[]"),
        ('"float32"', "keras.json", '"float32"'),
        ("[" * 10**5, "keras.json", None),  # Python says why
        ('{"floatx": "float8"}', "floatx in keras.json", '"float8"'),
        ('{"floatx": ["float32"]}', "floatx in keras.json", '["float32"]'),
        ('{"epsilon": 1}', "epsilon in keras.json", "1"),
        ('{"image_data_format": null}', "image_data_format in keras.json", "null"),
        (f'["{"x" * 99}"]', "keras.json", f'["{"x" * 58}'),
    ],
)
def test_keras_json_that_stops_plain_keras_is_named(
    content: str, name: str, value: str | None, tmp_path: Path
) -> None:
    """The finding says that the file stops plain Keras but not this package."""
    path = tmp_path / "keras.json"
    path.write_text(content)
    _, found = settings.found({"KERAS_HOME": str(tmp_path)})
    assert found.name == name
    assert value in (None, found.value)
    assert found.effect == "plain Keras does not start with it; lenet-multi does not read it"
    assert found.remedy == f"correct or delete {path}"
    assert found.changes_results is False


def test_keras_json_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A folder called keras.json is a finding, because it stops plain Keras too."""
    (tmp_path / "keras.json").mkdir()
    _, found = settings.found({"KERAS_HOME": str(tmp_path)})
    assert found.name == "keras.json"
    assert "Is a directory" in found.value


@pytest.mark.parametrize("content", [None, "", "{", "{}", '{"epsilon": 1e-07}'])
def test_keras_json_that_changes_nothing_is_silent(content: str | None, tmp_path: Path) -> None:
    """No file, a damaged one (Keras ignores it) or Keras's defaults give no finding."""
    if content is not None:
        (tmp_path / "keras.json").write_text(content)
    assert [one.name for one in settings.found({"KERAS_HOME": str(tmp_path)})] == ["KERAS_HOME"]
