import pytest
import torch

from subarch.arch.architecture import Architecture
from subarch.arch.families import FAMILIES
from subarch.errors import ModelError
from subarch.training.held_out import held_out_metrics
from subarch.training.inherit_masked_lm import inherited_masked_lm
from subarch.training.loop import LoopContext, train
from subarch.training.masked_lm import MaskedLanguageModel, MaskedLmLoss, masked_lm_batches
from subarch.training.settings import LoopConfig
from training.blocks import MASKING, ArrayBlocks


@pytest.fixture(scope="module")
def trained(masked_lm_of):
    """A teacher that knows its blocks, by family."""
    made = {}

    def make(family):
        if family not in made:
            model = masked_lm_of(family)
            batches = masked_lm_batches(ArrayBlocks(), MASKING, batch_size=12, seed=0)
            settings = LoopConfig(learning_rate=5e-3, max_steps=120, precision="fp32")
            loss = MaskedLmLoss(alpha=1.0)
            train(MaskedLanguageModel(model), batches, loss, config=settings, context=LoopContext())
            made[family] = model
        return made[family]

    return make


def loss_of(model):
    return held_out_metrics(model, None, ArrayBlocks(), MASKING, count=24)["mlm_loss"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_of_the_same_size_is_its_teacher(family, trained, tiny):
    teacher = trained(family)
    student = inherited_masked_lm(tiny(family), teacher, ArrayBlocks(), MASKING, seed=0)
    ids = torch.arange(5, 21)[None]
    with torch.no_grad():
        torch.testing.assert_close(student.eval()(ids).logits, teacher.eval()(ids).logits)
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_smaller_one_knows_part_of_it(family, trained, tiny):
    teacher = trained(family)
    small = tiny(family, num_hidden_layers=2, num_attention_heads=3, hidden_size=24, intermediate_size=40)
    student = inherited_masked_lm(small, teacher, ArrayBlocks(), MASKING, seed=0)
    found = Architecture.from_config(student.config.to_dict())
    assert (found.num_hidden_layers, found.hidden_size, found.intermediate_size) == (2, 24, 40)
    fresh = trained(family).__class__(student.config)
    assert loss_of(teacher) < loss_of(student) < loss_of(fresh)


def test_a_larger_one_is_refused(trained, tiny):
    with pytest.raises(ModelError, match="the student's num_hidden_layers 4 is larger than the teacher's 3"):
        inherited_masked_lm(tiny(num_hidden_layers=4), trained("bert"), ArrayBlocks(), MASKING, seed=0)
