import json
import subprocess
import sys

import pytest

from subarch.arch import folders
from subarch.arch.published import PUBLISHED
from subarch.errors import ConfigError, ModelError
from subarch.stages.describe import describe, render

KEYS = {
    "name",
    "family",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_size",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
    "head",
    "parameters",
    "flops",
    "sequence_length",
    "published",
}
CONFIG = {
    "model_type": "distilbert",
    "n_layers": 2,
    "n_heads": 2,
    "dim": 8,
    "hidden_dim": 16,
    "vocab_size": 100,
    "max_position_embeddings": 32,
}


@pytest.fixture
def folder(tmp_path):
    def make(**changes):
        (tmp_path / "config.json").write_text(json.dumps(CONFIG | changes))
        return str(tmp_path)

    return make


def test_bort_is_counted_as_it_really_is_beside_what_was_published():
    (bort,) = describe(["bort"])
    assert bort["parameters"] == {
        "total": 75_106_304,
        "embeddings": 51_997_696,
        "encoder": 23_108_608,
        "head": 0,
    }
    assert bort["published"]["parameters"] == 56_140_000
    assert "swapped" in bort["published"]["note"]
    (same,) = describe(["4,8,1024,768"])
    assert same["parameters"] == bort["parameters"] and same["published"] is None


@pytest.mark.parametrize("source", [*PUBLISHED, "2, 16, 1024, 512"])
def test_every_description_has_the_same_shape(source):
    (description,) = describe([source])
    assert description.keys() == KEYS
    assert json.loads(json.dumps(description)) == description
    count = description["parameters"]
    assert count["total"] == count["embeddings"] + count["encoder"] + count["head"]
    assert (count["head"] > 0) == (description["head"] != "none")


def test_a_folder_needs_only_its_config(folder):
    source = folder()
    (description,) = describe([source], sequence_length=10)
    assert (description["name"], description["family"]) == (source, "distilbert")
    assert (description["num_hidden_layers"], description["hidden_size"]) == (2, 8)
    assert description["published"] is None and description["head"] == "none"
    assert description["sequence_length"] == 10


def test_longer_inputs_cost_more():
    (short,), (long,) = (
        describe(["bert-base"], sequence_length=64),
        describe(["bert-base"], sequence_length=128),
    )
    assert long["flops"] > 2 * short["flops"]
    with pytest.raises(ConfigError, match="expected 1 to 512 tokens"):
        describe(["bert-base"], sequence_length=513)


@pytest.mark.parametrize("source", ["4,8,1024", "4,8,1024,768,1", "a,b,c,d", "4,8,1024,-1"])
def test_sizes_that_are_not_four_numbers(source):
    with pytest.raises(ConfigError, match="expected four whole numbers") as caught:
        describe([source])
    assert "4,8,1024,768" in caught.value.hint


def test_sizes_that_cannot_be():
    with pytest.raises(ConfigError, match="not a multiple"):
        describe(["4,7,1024,768"])


def test_an_unknown_name_is_answered_with_the_nearest(monkeypatch):
    def refuse(*args, **options):
        raise OSError("offline")

    monkeypatch.setattr(folders.huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(ModelError, match="neither a folder nor a model") as caught:
        describe(["bert-bas"])
    assert "did you mean bert-base" in caught.value.hint and "connection" in caught.value.hint


def test_a_broken_folder_is_not_taken_for_a_name(folder):
    with pytest.raises(ModelError, match="unknown model family 'gpt2'") as caught:
        describe([folder(model_type="gpt2")])
    assert "bort" not in caught.value.hint


def test_the_table_is_aligned_and_explains(folder):
    lines = render(describe(["bort", "bert-base", folder()], sequence_length=32)).splitlines()
    header, bort, bert = lines[:3]
    for title, value in (("parameters", "75.11 M"), ("published", "56.14 M"), ("encoder", "23.11 M")):
        assert bort.index(value) + len(value) == header.index(title) + len(title)
    assert "109.48 M" in bert and bert.index("pooler") == header.index("head", header.index("vocabulary"))
    assert lines[4] == "FLOPs of one forward pass on 32 tokens"
    assert lines[5].startswith("bort: the paper counts with hidden_size and intermediate_size swapped")
    assert len(lines) == 6 and all(line == line.rstrip() for line in lines)


def test_neither_torch_nor_transformers_is_imported(folder):
    program = (
        "import sys; from subarch.stages.describe import describe, render\n"
        f"render(describe(['bort', '4,8,1024,768', {folder()!r}], sequence_length=8))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
