"""What a pre-training will take, before it is run."""

from __future__ import annotations

from typing import Any

from subarch.arch.training_memory import Workload
from subarch.stages.extraction.estimate import estimate_training
from subarch.stages.pretraining.models import open_inputs
from subarch.stages.pretraining.settings import PretrainConfig
from subarch.training.processes import process_state


def estimate_pretraining(config: PretrainConfig) -> dict[str, Any]:
    """`estimate_training` for the blocks, models and steps of a configuration; nothing is loaded or written.

    Raises:
        UserError: As `pretrain`.
    """
    inputs, loop = open_inputs(config), config.training
    blocks_an_epoch = max(1, len(inputs.train) // loop.batch_size) * loop.batch_size
    blocks = loop.max_steps * loop.batch_size if loop.max_steps else max(1, round(loop.epochs * blocks_an_epoch))
    rows = max(1, loop.batch_size // int(process_state().num_processes))
    work = Workload(
        tokens=blocks * inputs.shards.block_size,
        sequence_length=inputs.shards.block_size,
        masked=config.masking.probability,
        micro_batch=min(rows, config.micro_batch_size or rows),
        fused_attention=process_state().device.type != "cpu",
    )
    taught = inputs.teacher.architecture if inputs.teacher and config.distils else None
    return estimate_training(inputs.architecture, taught, work, config.hardware)
