import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
)

from subarch.arch.costs import HEADS, flops, parameters
from subarch.arch.families import FAMILIES, layer_of
from subarch.errors import ConfigError

COMBINATIONS = [(name, head) for name in FAMILIES for head in HEADS if head != "pooler" or FAMILIES[name].has_pooler]
SIZES = st.fixed_dictionaries(
    {
        "num_hidden_layers": st.integers(1, 4),
        "hidden_size": st.integers(1, 6).map(lambda width: 4 * width),
        "intermediate_size": st.integers(1, 30),
        "vocab_size": st.integers(1, 60),
        "max_position_embeddings": st.integers(3, 30),
    }
)


@pytest.mark.parametrize(("family", "head"), COMBINATIONS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(sizes=SIZES, embedding_size=st.integers(1, 24), num_labels=st.integers(1, 5))
def test_the_closed_form_counts_what_is_built(tiny, meta_model, family, head, sizes, embedding_size, num_labels):
    options = {"embedding_size": embedding_size} if family == "electra" else {}
    architecture = tiny(family, **sizes, **options)
    # Start and end: question answering has two outputs, whatever is asked for.
    num_labels = 2 if head == "question-answering" else num_labels
    model = meta_model(architecture, head, num_labels)
    count = parameters(architecture, head, num_labels)
    assert count.total == sum(parameter.numel() for parameter in model.parameters())
    assert count.total == count.embeddings + count.encoder + count.head


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_and_encoder_are_told_apart(tiny, meta_model, family):
    architecture = tiny(family)
    numbers = {"embeddings": 0, "encoder": 0}
    for name, parameter in meta_model(architecture, "none").named_parameters():
        in_stack = layer_of(FAMILIES[family], name) is not None or name.startswith("final_norm")
        numbers["encoder" if in_stack else "embeddings"] += parameter.numel()
    count = parameters(architecture)
    assert (count.embeddings, count.encoder, count.head) == (*numbers.values(), 0)


def test_a_layer_has_the_parameters_of_lemma_2(tiny):
    H, I = 8, 14  # noqa: E741
    more, fewer = parameters(tiny("bert", num_hidden_layers=3)), parameters(tiny("bert", num_hidden_layers=2))
    assert more.total - fewer.total == 4 * H**2 + 2 * H * I + 9 * H + I


def test_heads_do_not_change_the_costs(tiny):
    one, four = tiny("bert", num_attention_heads=1), tiny("bert", num_attention_heads=4)
    assert parameters(one) == parameters(four)
    assert flops(one, 16) == flops(four, 16)


def test_unknown_heads_and_absent_poolers_are_refused(tiny):
    with pytest.raises(ConfigError, match="did you mean masked-lm"):
        parameters(tiny("bert"), "maskedlm")
    with pytest.raises(ConfigError, match="distilbert has no pooler"):
        parameters(tiny("distilbert"), "pooler")
    with pytest.raises(ConfigError, match="modernbert has no pooler"):
        flops(tiny("modernbert"), 4, "pooler")


@pytest.mark.parametrize(("family", "head"), COMBINATIONS)
def test_flops_agree_with_a_counter_of_matrix_products(tiny, config_of, family, head):
    """torch counts the same products when the whole attention is inside the window."""
    classes = {
        "sequence-classification": AutoModelForSequenceClassification,
        "question-answering": AutoModelForQuestionAnswering,
        "masked-lm": AutoModelForMaskedLM,
    }
    window = {"local_attention": 64} if family == "modernbert" else {}
    architecture = tiny(family, **window)
    labels = 2 if head == "question-answering" else 3
    config = config_of(architecture, attn_implementation="eager", num_labels=labels)
    options = {"add_pooling_layer": False} if head == "none" and FAMILIES[family].has_pooler else {}
    model = classes.get(head, AutoModel).from_config(config, attn_implementation="eager", **options).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(input_ids=torch.full((1, 11), 5), attention_mask=torch.ones(1, 11, dtype=torch.long))
    assert flops(architecture, 11, head, num_labels=labels) == counter.get_total_flops()


def test_a_local_layer_counts_the_pairs_in_its_window(tiny):
    reach, H = 4, 8
    for n in (1, 3, 5, 6, 20):
        pairs = sum(abs(i - j) <= reach for i in range(n) for j in range(n))
        local, full = tiny("modernbert", local_attention=2 * reach), tiny("modernbert", local_attention=64)
        # two of the three layers are local
        assert flops(full, n) - flops(local, n) == 2 * 4 * H * (n**2 - pairs)


@pytest.mark.parametrize(("family", "longest"), [("bert", 20), ("roberta", 18)])
def test_inputs_longer_than_the_encoder_reads_are_refused(tiny, family, longest):
    assert flops(tiny(family), longest) > 0
    for length in (0, longest + 1):
        with pytest.raises(ConfigError, match=f"expected 1 to {longest} tokens"):
            flops(tiny(family), length)
