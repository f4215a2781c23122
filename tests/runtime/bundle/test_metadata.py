"""The schema of metadata.json: what it accepts, and how it refuses."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from mambapro.errors import ArtifactError, InputError
from mambapro.runtime.bundle.field_checks import check_file_name
from mambapro.runtime.bundle.metadata import SCHEMA, BundleMetadata, fingerprint
from mambapro.runtime.data.preprocess import Preprocessing


@pytest.fixture
def content(small_metadata):
    """The metadata as read from a file, free to be spoilt."""
    return json.loads(json.dumps(small_metadata.to_json()))


class TestRoundTrip:
    def test_json_and_back_is_the_same(self, small_metadata, content):
        """from_json(to_json()) is equal, through the text of a file."""
        assert BundleMetadata.from_json(content) == small_metadata

    def test_schema_stands_first(self, content):
        """A reader of the file sees the schema on the first line."""
        assert next(iter(content.items())) == ("schema", SCHEMA)

    def test_preprocessing_says_how_the_resize_works(self, content):
        """Filter, antialiasing and the place of the normalisation are told in words and flags."""
        told = content["preprocessing"]

        assert told["resize"] == "bilinear" and told["antialias"] and told["normalized_in_graph"]

    def test_attributes_need_no_embedding(self, content):
        """The later task fits the schema, and asking it for an embedding's size is ArtifactError."""
        content["task"] = "attributes"
        content["embedding"] = None
        content["feature_space"] = None
        content["outputs"][0].update(name="logits", role="logits")

        metadata = BundleMetadata.from_json(content)

        with pytest.raises(ArtifactError, match="no embedding"):
            _ = metadata.dim

    def test_schema_1_is_read_as_today(self, small_metadata, content):
        """Its feature space names the fingerprint, and a model without embedding has no feature space."""
        first = {**content, "schema": "mambapro.bundle/1"}
        for name in ("fingerprint", "labels", "card"):
            first.pop(name)
        logits = [{**first["outputs"][0], "name": "logits", "role": "logits"}]

        assert BundleMetadata.from_json(first) == small_metadata
        other = BundleMetadata.from_json({**first, "task": "attributes", "embedding": None, "outputs": logits})
        assert (other.fingerprint, other.feature_space) == (small_metadata.fingerprint, None)
        with pytest.raises(ArtifactError, match="fingerprint is missing"):
            BundleMetadata.from_json({**first, "feature_space": {}})


class TestSchema:
    @pytest.mark.parametrize("schema", ["mambapro.bundle/3", "mambapro.bundle/17"])
    def test_newer_schema_says_which_one_is_read(self, content, schema):
        """ArtifactError names the file's schema and the newest this runtime reads, before any field is looked at."""
        with pytest.raises(ArtifactError, match=rf"{schema}.*reads up to {SCHEMA}"):
            BundleMetadata.from_json({"schema": schema, "unheard": 1})

    @pytest.mark.parametrize("schema", [None, 1, "", "other/1", "mambapro.bundle/0", "mambapro.bundle/x"])
    def test_other_schemas_are_refused(self, content, schema):
        """ArtifactError when the schema is missing or not of this family."""
        with pytest.raises(ArtifactError, match="must say its schema"):
            BundleMetadata.from_json({**content, "schema": schema})

    @pytest.mark.parametrize("value", [None, [], "text", 3])
    def test_anything_but_an_object_is_refused(self, value):
        """ArtifactError when the file holds no object."""
        with pytest.raises(ArtifactError, match="must hold an object"):
            BundleMetadata.from_json(value)


class TestWrongFields:
    def test_every_problem_is_named_at_once(self, content):
        """Unknown, missing and wrong-typed fields come in one error, with their paths."""
        del content["name"]
        content["surplus"] = 1
        content["cameras"] = True
        content["inputs"][1]["shape"] = "batch"
        content["preprocessing"]["mean"] = [0.5, 0.5]
        content["git_commit"] = 5
        content["versions"] = {"onnx": 1}

        with pytest.raises(ArtifactError) as caught:
            BundleMetadata.from_json(content)

        text = str(caught.value)
        assert "name is missing" in text
        assert "surplus is unknown" in text
        assert "cameras must be a whole number, not True" in text
        assert "inputs[1].shape must be a list" in text
        assert "preprocessing.mean must have 3 entries, not 2" in text
        assert "git_commit must be a string or null, not 5" in text
        assert "versions.onnx must be a string" in text

    def test_ten_problems_are_shown_and_the_rest_counted(self, content):
        """Of 14 problems ten are listed."""
        with pytest.raises(ArtifactError, match=r"\.\.\. and 4 more") as caught:
            BundleMetadata.from_json({**content, **{f"surplus{i}": 1 for i in range(14)}})

        assert str(caught.value).count("is unknown") == 10

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            (("task",), "detection", "task must be one of"),
            (("fingerprint",), "0" * 64, "feature_space must have the fingerprint as its id"),
            (("labels",), {"names": ["hat"]}, "labels has 1 names, the logits outputs have the shapes"),
            (("created",), "yesterday", "created must be a UTC time"),
            (("created",), "2030-01-31T12:00:00+02:00", "created must be a UTC time"),
            (("fingerprint",), "abc", "64 lower-case hexadecimal"),
            (("checkpoint", "sha256"), "X" * 64, "64 lower-case hexadecimal"),
            (("precision", "parts", "all"), "fp8", "parts.all must be one of"),
            (("artifacts", 0, "state"), "fine", "state must be one of"),
            (("artifacts", 0, "file"), "../model.onnx", "must be relative and stay inside"),
            (("artifacts",), [], "artifacts is empty"),
            (("inputs", 0, "role"), "sound", "role of input 'rgb'"),
            (("inputs", 0, "dtype"), "object", "dtype must be one of"),
            (("inputs", 0, "shape"), ["batch", 16, 9, 3], "must be uint8"),
            (("inputs", 0, "shape"), ["n", 16, 8, 3], "shape must hold positive sizes"),
            (("inputs", 0, "shape"), [4, 16, 8, 3], "same first axis"),
            (("modalities",), ["nir", "rgb", "tir"], "must be the modalities"),
            (("cameras",), 0, "cameras is 0"),
            (("cameras",), -1, "cameras is -1"),
            (("embedding", "dim"), 13, "one embedding output"),
            (("embedding",), None, "one embedding output"),
            (("preprocessing", "resize"), "area", "resize filter must be one of"),
            (("preprocessing", "antialias"), False, "antialias"),
            (("preprocessing", "std"), [0.5, 0.0, 0.5], "std positive"),
            (("preprocessing", "sixteen_bit_range"), [5, 5], "low < high"),
        ],
        ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
    )
    def test_values_that_contradict_are_refused(self, content, path, value, message):
        """ArtifactError for well-typed values that cannot be meant."""
        place = content
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

        with pytest.raises(ArtifactError, match=message):
            BundleMetadata.from_json(content)

    @pytest.mark.parametrize("name", ["", "/abs", "../up", "a/../b", "a//b", "./a", "a\\b", "C:x", "a\nb", "a/"])
    def test_file_names_that_leave_the_bundle_are_refused(self, name):
        """InputError for absolute, climbing and odd names."""
        with pytest.raises(InputError, match="stay inside"):
            check_file_name(name)

    @pytest.mark.parametrize("name", ["model.onnx", "engines/a.plan", "..model", "modèle.onnx"])
    def test_plain_file_names_pass(self, name):
        """Names in subfolders and with accents are fine."""
        check_file_name(name)

        with pytest.raises(InputError, match="stay inside"):
            check_file_name(f"../{name}")


class TestFingerprint:
    pre = Preprocessing(16, 8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    def test_key_order_does_not_matter(self):
        """The same settings in another order have the same fingerprint."""
        assert fingerprint("a", self.pre, {"x": 1, "y": [2]}) == fingerprint("a", self.pre, {"y": [2], "x": 1})

    def test_weights_preprocessing_and_config_all_count(self):
        """Changing any one of them changes the fingerprint."""
        found = {
            fingerprint("a", self.pre, {"x": 1}),
            fingerprint("b", self.pre, {"x": 1}),
            fingerprint("a", replace(self.pre, resize="bicubic"), {"x": 1}),
            fingerprint("a", self.pre, {"x": 2}),
        }

        assert len(found) == 4
        assert all(len(value) == 64 for value in found)

    def test_input_is_left_alone(self):
        """The settings dict is not changed."""
        config = {"x": (1, 2), "y": {"z": None}}
        before = copy.deepcopy(config)

        fingerprint("a", self.pre, config)

        assert config == before
