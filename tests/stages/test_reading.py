import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from stages import tiny
from subarch.api import run_stage
from subarch.arch.folders import resolve
from subarch.errors import ModelError
from subarch.inputs.models import ModelFolder
from subarch.inputs.reading import check_reading
from subarch.session.session import Session
from subarch.tasks.base import Examples

TEXTS = Examples(tiny.sentences(40)[0])


@pytest.fixture
def folder(tmp_path):
    return tiny.teacher(tmp_path / "model")


def added(folder, token):
    """Add a token to the tokenizer of a folder, but no row to the model's table."""
    saved = json.loads((folder / "tokenizer.json").read_text())
    index = len(saved["model"]["vocab"])
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    saved["added_tokens"].append({"id": index, "content": token, **flags})
    (folder / "tokenizer.json").write_text(json.dumps(saved))
    return index


def with_types(folder):
    """Let the tokenizer of a folder give token types."""
    saved = json.loads((folder / "tokenizer_config.json").read_text())
    saved["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(saved))
    return folder


def test_texts_that_are_known_need_no_word(folder):
    assert check_reading(ModelFolder(resolve(folder)), TEXTS, 24, Session()) is None


def test_another_script_is_refused_with_the_share(folder):
    texts = Examples(["чайник был плохой", "поезд был хороший"] * 10)
    with pytest.raises(ModelError, match=r"does not know 100% of the tokens of 20 texts, and nothing of 100%"):
        check_reading(ModelFolder(folder), texts, 24, Session())


def test_a_few_unknown_tokens_are_told(folder):
    told = []
    texts = Examples([f"the film was quite {'чайник' if index % 2 else ''}" for index in range(20)])
    line = check_reading(ModelFolder(folder), texts, 24, Session(on_event=told.append))
    assert "does not know 11% of the tokens" in line and told == [{"event": "phase", "name": "warning", "detail": line}]


def test_a_token_beyond_the_table_is_named_with_its_id(folder, tmp_path):
    index = added(folder, "<user>")
    rows = tiny.write_csv(
        tmp_path / "rows.csv", ("text", "label"), [(f"<user> {text}", n % 2) for n, text in enumerate(TEXTS.texts)]
    )
    out = tmp_path / "out"
    with pytest.raises(
        ModelError, match=rf"gives the token {index} \('<user>'\), the model has {index} tokens"
    ) as caught:
        run_stage("finetune", {"model": str(folder), "train": rows, "out": out})
    assert "resize_token_embeddings" in caught.value.hint and not out.exists()


def test_a_token_type_beyond_the_table(tmp_path):
    folder = with_types(tiny.teacher(tmp_path / "model", type_vocab_size=1))
    with pytest.raises(ModelError, match="gives the token type 1, the model has 1 token types"):
        check_reading(ModelFolder(folder), Examples(["a film"], ["a plot"]), 24, Session())
    assert check_reading(ModelFolder(folder), Examples(["a film"]), 24, Session()) is None


def test_a_model_without_token_types_asks_for_none(tmp_path):
    from transformers import CONFIG_MAPPING, AutoModel

    tokenizer = tiny.wordpiece()
    config = CONFIG_MAPPING["distilbert"](vocab_size=len(tokenizer), n_layers=1, n_heads=2, dim=8, hidden_dim=16)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with_types(tmp_path)
    found = ModelFolder(tmp_path).encode(Examples(["a film"], ["a plot"]), 24)
    assert found.encoded.token_type_ids is None


def test_a_unigram_tokenizer_is_refused_before_anything_is_trained(tmp_path):
    folder = tiny.teacher(tmp_path / "model", max_position_embeddings=160)
    pieces = [("<unk>", 0.0), ("<pad>", 0.0), *((letter, -2.0) for letter in "abcdefghijklmnopqrstuvwxyz0123456789▁")]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>").save_pretrained(folder)
    settings = {"teacher": str(folder), "train": tiny.classes(tmp_path / "rows.csv"), "out": tmp_path / "out"}
    space = {"min_encoder": 0.01, "max_encoder": 0.9, "max_total": 1.0}
    with pytest.raises(ModelError, match="cannot cut the vocabulary of a Unigram tokenizer") as caught:
        run_stage("compress", {**settings, "extract": {"space": space}})
    assert "--set extract.space.vocabulary=1" in caught.value.hint and not (tmp_path / "out").exists()
    assert check_reading(ModelFolder(folder), TEXTS, 24, Session()) is None
