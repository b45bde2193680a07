"""An optimizer for each parameter, which steps within the backward pass as soon as its gradient has arrived."""

from tiny import batches, loss_of, network
from torch import Tensor, nn
from torch.optim import SGD, Adam


def healthy() -> None:
    model = network()
    optimizers = {p: Adam([p], foreach=False) for p in model.parameters()}

    def update(parameter: Tensor) -> None:
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(update)
    for batch in batches():
        loss_of(model, batch).backward()


def broken() -> None:
    model = network()
    optimizers = {p: Adam([p], foreach=False) for p in model.parameters()}

    def update(parameter: Tensor) -> None:
        optimizers[parameter].step()  # expect: LG101

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(update)
    for batch in batches():
        loss_of(model, batch).backward()


def healthy_by_hand() -> None:
    model = network()
    optimizers = {p: SGD([p], lr=0.01) for p in model.parameters()}

    def update(parameter: Tensor) -> None:
        optimizers[parameter].step()
        parameter.grad = None

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(update)
    for batch in batches():
        loss_of(model, batch).backward()


def broken_by_hand() -> None:
    model = network()
    optimizers = {p: SGD([p], lr=0.01) for p in model.parameters()}

    def update(parameter: Tensor) -> None:
        optimizers[parameter].step()  # expect: LG101
        if parameter.ndim > 5:
            parameter.grad = None

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(update)
    for batch in batches():
        loss_of(model, batch).backward()


def body_in_backward() -> tuple[nn.Sequential, SGD]:
    """A model whose first layer is updated in the backward pass, and the optimizer of the rest."""
    model = network()
    for p in model[0].parameters():
        own = SGD([p], lr=0.01)

        def update(parameter: Tensor, own: SGD = own) -> None:
            own.step()
            own.zero_grad()

        p.register_post_accumulate_grad_hook(update)
    return model, SGD(model[2].parameters(), lr=0.01)


def healthy_in_part() -> None:
    model, optimizer = body_in_backward()
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_in_part() -> None:
    model, optimizer = body_in_backward()
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101
