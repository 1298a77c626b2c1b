"""The optimiser, and bf16 training on processors that multiply bf16 natively.

On a CPU, autocast keeps fp32 weights and casts each of them again at each use, which eats most of what bf16 wins.
Instead the model itself is bf16 and the optimiser owns fp32 master weights: one cast of the gradients before and one
of the weights after each step (measured in docs/decisions.md). On an accelerator, autocast is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from subarch.errors import DivergedError
from subarch.training.optimizers import Adam, OptimizerName, make_optimizer
from subarch.training.processes import process_state

Precision = Literal["auto", "fp32", "bf16"]
Model = TypeVar("Model", bound=nn.Module)


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of the working weights: bf16 where the processor multiplies it natively, unless told otherwise."""
    if precision == "fp32":
        return torch.float32
    if device.type != "cpu":
        return torch.float32  # autocast does the rest
    if precision == "bf16":
        return torch.bfloat16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() and _native_bf16() else torch.float32


def inference_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of weights that only answer: bf16 on an accelerator, where no autocast is needed for them.

    Elsewhere, and where fp32 was asked for, it is that of `resolve_precision`.
    """
    if device.type != "cpu" and precision != "fp32":
        return torch.bfloat16
    return resolve_precision(precision, device)


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Where the forward pass runs: bf16 autocast on an accelerator, unless fp32 was asked for."""
    # accelerate's own mixed precision is one for all trainings of a process, and refuses a second one that differs
    if device.type == "cpu" or precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _native_bf16() -> bool:
    capability = torch.cpu.get_capabilities()
    return bool(capability.get("avx512_bf16") or capability.get("amx_bf16") or capability.get("bf16"))


def cast_weights(model: Model, dtype: torch.dtype) -> Model:
    """The model with its weights in `dtype`, in place.

    Unlike `model.to` it spares the buffers: ModernBERT's rotary frequencies, once rounded to bf16, would be wrong for
    good, since no way back to fp32 restores them.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def prepare_for_training(model: Any, *, dropout: bool) -> None:
    """Choose the attention that trains fastest, and switch dropout off where it only adds noise.

    On a CPU that is eager attention: the backward pass of PyTorch's fused one takes twice as long at the lengths of
    sentences (docs/decisions.md). What counts is where the model will be trained, not where it was built. Nothing of
    this is saved with the model.
    """
    if process_state().device.type == "cpu":
        model.set_attn_implementation("eager")
    if dropout:
        return
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout_prob"):  # where a module applies it by hand
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


class MasterWeights:
    """An optimiser over fp32 copies of a model's parameters (or over the parameters themselves where they are fp32).

    Weight decay spares biases and norms, as BERT's does. SGD is plain: no momentum.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        learning_rate: float,
        weight_decay: float,
        optimizer: OptimizerName = "adamw",
        adam: Adam = Adam(),  # noqa: B008  (a frozen value)
    ) -> None:
        self.names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.working = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.shared = all(parameter.dtype == torch.float32 for parameter in self.working)
        self.masters = self.working if self.shared else [p.detach().float().clone() for p in self.working]
        decayed = [p for p in self.masters if p.ndim > 1]
        spared = [p for p in self.masters if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
        self.optimizer = make_optimizer(optimizer, groups, learning_rate, adam)

    def hasten(self, modules: Collection[str], multiple: float) -> None:
        """Let the parameters of these modules learn so many times as fast as the others."""
        prefixes = tuple(f"{name}." for name in modules)
        chosen = {id(m) for name, m in zip(self.names, self.masters, strict=True) if name.startswith(prefixes)}
        for group in list(self.optimizer.param_groups):
            fast = [parameter for parameter in group["params"] if id(parameter) in chosen]
            if fast:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in chosen]
                self.optimizer.add_param_group({**group, "params": fast, "multiple": multiple})

    def step(self, learning_rate: float, clip_norm: float) -> None:
        """Clip the gradients' global norm, update the masters, copy them back and clear the gradients.

        Raises:
            DivergedError: Gradients that are no numbers; nothing is updated.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group.get("multiple", 1.0)
        if not self.shared:
            for master, parameter in zip(self.masters, self.working, strict=True):
                master.grad = None if parameter.grad is None else parameter.grad.float()
                parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_([p for p in self.masters if p.grad is not None], clip_norm, foreach=True)
        if not torch.isfinite(norm):
            self.clear()
            raise DivergedError(
                f"the norm of the gradients became {float(norm)}", "lower the learning rate, or train in fp32"
            )
        self.optimizer.step()
        self.clear()
        self.publish()

    def clear(self) -> None:
        """Forget the gradients."""
        for parameter in (*self.masters, *self.working):
            parameter.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Copy the masters into the working model."""
        if not self.shared:
            for master, parameter in zip(self.masters, self.working, strict=True):
                parameter.copy_(master)

    @torch.no_grad()
    def weights(self) -> dict[str, Tensor]:
        """A copy of the fp32 weights by parameter name."""
        return {name: master.detach().clone() for name, master in zip(self.names, self.masters, strict=True)}

    @torch.no_grad()
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Replace masters and working weights."""
        for name, master in zip(self.names, self.masters, strict=True):
            master.copy_(weights[name])
        self.publish()

    def moments(self) -> Iterator[tuple[str, Tensor]]:
        """AdamW's state as named tensors, for a checkpoint."""
        for name, master in zip(self.names, self.masters, strict=True):
            for key, value in self.optimizer.state.get(master, {}).items():
                yield f"{key}/{name}", value

    def load_moments(self, moments: dict[str, Tensor]) -> None:
        """The inverse of `moments`."""
        for name, master in zip(self.names, self.masters, strict=True):
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in moments]
            if keys:
                self.optimizer.state[master] = {
                    # The fused AdamW counts its steps where the weights are, and fails where the counter is not.
                    key: moments[f"{key}/{name}"].to(master.device, copy=True)
                    for key in keys
                }
