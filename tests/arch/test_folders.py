import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, BertTokenizer

from subarch.arch.folders import check_folder
from subarch.arch.pretrained import load_classifier, load_tokenizer
from subarch.errors import ModelError, UserError

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad")


@pytest.fixture
def folder(tiny, config_of, tmp_path):
    """A saved model with its tokenizer."""
    path = tmp_path / "model"
    AutoModelForSequenceClassification.from_config(config_of(tiny("bert"))).save_pretrained(path)
    BertTokenizer(vocab={word: index for index, word in enumerate(WORDS)}).save_pretrained(path)
    return path


def refusal(path):
    with pytest.raises(ModelError) as caught:
        check_folder(path)
    return caught.value


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_alone_or_beside_its_base(folder, tmp_path, name):
    alone = tmp_path / "alone"
    alone.mkdir()
    for path in (alone, folder):
        (path / name).write_text("{}")
        error = refusal(path)
        assert f"holds an adapter ({name})" in error.message and "merge_and_unload" in error.hint


def test_a_pointer_instead_of_weights(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\nsize 438000000\n")
    error = refusal(folder)
    assert "is a Git LFS pointer" in error.message and "git lfs pull" in error.hint


def test_a_model_of_setfit(folder):
    (folder / "config_setfit.json").write_text("{}")
    assert "is a SetFit model (config_setfit.json)" in refusal(folder).message


def test_an_old_folder_of_sentence_transformers(folder, tmp_path):
    outer = tmp_path / "outer"
    shutil.copytree(folder, outer / "0_Transformer")
    (outer / "modules.json").write_text("[]")
    error = refusal(outer)
    assert "a model of sentence-transformers" in error.message and error.hint == f"give {outer / '0_Transformer'}"


def test_checkpoints_of_a_training_and_the_best_of_them(folder, tmp_path):
    outer = tmp_path / "outer"
    for step in (500, 1000):
        shutil.copytree(folder, outer / f"checkpoint-{step}")
    assert refusal(outer).hint == f"give {outer / 'checkpoint-1000'}"
    state = {"best_model_checkpoint": "elsewhere/checkpoint-500"}
    (outer / "checkpoint-1000" / "trainer_state.json").write_text(json.dumps(state))
    error = refusal(outer)
    assert "holds 2 checkpoints" in error.message and error.hint == f"give {outer / 'checkpoint-500'}"


@pytest.mark.parametrize(
    ("settings", "files", "fits"),
    [
        (None, ["vocab.txt"], True),
        (None, ["vocab.json", "merges.txt"], False),
        ({"tokenizer_class": "RobertaTokenizer"}, ["vocab.json", "merges.txt"], True),
        ({"tokenizer_class": "RobertaTokenizer"}, ["vocab.txt"], False),
    ],
)
def test_the_vocabulary_must_be_one_that_the_family_reads(folder, settings, files, fits):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    if settings is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    for name in files:
        (folder / name).write_text("")
    if fits:
        check_folder(folder)
    else:
        assert f"reads, but {' or '.join(files)}, expected tokenizer.json or" in refusal(folder).message


def test_a_package_that_is_missing_is_one_line(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    settings = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError) as caught:
        load_tokenizer(folder)
    # What transformers says has an address in it.
    assert str(caught.value) == (
        f"{folder} needs the package fugashi, which is not installed\n"
        "hint: pip install fugashi, or choose another model"
    )


def test_templates_and_code_do_not_travel_with_a_tokenizer(folder, tmp_path):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"chat_template": "{{ evil }}", "auto_map": {"AutoTokenizer": ["evil.Tok", None]}}
    settings |= {"trust_remote_code": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text("{{ evil }}")
    load_tokenizer(folder).save_pretrained(tmp_path / "out")
    saved = "".join(file.read_text() for file in (tmp_path / "out").iterdir())
    assert "evil" not in saved and "trust_remote_code" not in saved and "auto_map" not in saved


VALUES = st.sampled_from(
    [None, True, 0, -1, 2, 10**30, 1.5, float("nan"), "", "x", "../x", "\ud800", [], {}, ["a"], {"0": "a"}, [[[]]]]
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(name=st.sampled_from(["config.json", "tokenizer_config.json"]), data=st.data(), value=VALUES)
def test_any_value_of_any_setting_is_read_or_refused_in_a_line(folder, name, data, value):
    before = (folder / name).read_text()
    content = json.loads(before)
    key = data.draw(st.sampled_from([*content, "quantization_config", "auto_map", "chat_template", "num_labels"]))
    (folder / name).write_text(json.dumps(content | {key: value}))
    try:
        check_folder(folder)
        load_classifier(folder)
        load_tokenizer(folder)
    except UserError as error:
        assert "\n" not in error.message
    finally:
        (folder / name).write_text(before)
