"""Gradients may be unscaled without `unscale_`. A file that does so anywhere is not told that it clips scaled ones."""

import torch
from tiny import batches, loss_of, network
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD


def scaler_of() -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=8.0)


def healthy_unscaled_by_hand() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch)).backward()
        for p in model.parameters():
            p.grad.mul_(1 / scaler.get_scale())
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def broken_unscaled_by_hand() -> None:
    model, scaler = network(), scaler_of()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        scaler.scale(loss_of(model, batch)).backward()
        for p in model.parameters():
            p.grad.mul_(1 / scaler.get_scale())
        optimizer.step()  # expect: LG101
