"""From encoded examples to outputs, in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from subarch.arch.first_token import first_token_alone
from subarch.tasks.encode import Encoded, ordered_batches, pad


@torch.inference_mode()
def predict(model: nn.Module, encoded: Encoded, pad_token_id: int, *, max_tokens: int = 4096) -> np.ndarray:
    """Outputs of the model, shape (examples, classes or 1), float32, in the order of `encoded`.

    Args:
        model: A transformers classifier; it is left in evaluation mode.
        encoded: The examples; labels are not used.
        pad_token_id: What fills short rows.
        max_tokens: Padded tokens per batch.
    """
    model.eval()
    device = next(model.parameters()).device
    outputs: np.ndarray | None = None
    with first_token_alone(model):
        for indices in ordered_batches(encoded.lengths, max_tokens):
            inputs = to_tensors(pad(encoded, indices, pad_token_id), device)
            inputs.pop("labels", None)
            logits = model(**inputs).logits.float().cpu().numpy()
            if outputs is None:
                outputs = np.empty((len(encoded.lengths), logits.shape[-1]), dtype=np.float32)
            outputs[indices] = logits
    if outputs is None:
        raise ValueError("no examples to predict")
    return outputs


def to_tensors(arrays: dict[str, np.ndarray], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The padded arrays as tensors."""
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


Predictor = Callable[[Encoded], np.ndarray]
