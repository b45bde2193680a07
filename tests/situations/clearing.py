"""Every way to clear gradients counts as one, for what it clears and no more."""

import torch
from tiny import batches, loss_of, network
from torch.optim import SGD


def healthy_set_to_none() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad(set_to_none=True)
        loss_of(model, batch).backward()
        optimizer.step()


def broken_set_to_none() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad(set_to_none=True)
        for batch in batches(5):
            loss_of(model, batch).backward()
            optimizer.step()  # expect: LG102


def healthy_set_to_zero() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad(set_to_none=False)
        loss_of(model, batch).backward()
        optimizer.step()


def broken_set_to_zero() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.zero_grad(set_to_none=False)  # expect: LG103
        optimizer.step()


def healthy_after_the_step() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()


def broken_after_the_step() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG105
        if number % 10 == 0:
            print("step", number)
            optimizer.zero_grad()


def healthy_module() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        model.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_module() -> None:
    model, teacher = network(), network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        teacher.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104


def healthy_module_set_to_zero() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        model.zero_grad(set_to_none=False)
        loss_of(model, batch).backward()
        optimizer.step()


def broken_module_set_to_zero() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        model.zero_grad(set_to_none=False)  # expect: LG103
        optimizer.step()


def healthy_none_by_hand() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        for p in model.parameters():
            p.grad = None
        loss_of(model, batch).backward()
        optimizer.step()


def broken_none_by_hand() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        for p in model[0].parameters():
            p.grad = None
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104


def healthy_zero_by_hand() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        for p in model.parameters():
            if p.grad is not None:
                p.grad.zero_()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_zero_by_hand() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        for p in model.parameters():
            if p.grad is not None and p.ndim > 1:
                p.grad.zero_()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG104


def healthy_data_zero() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()
        for p in model.parameters():
            p.grad.data.zero_()


def healthy_foreach_zero() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()
        torch._foreach_zero_([p.grad for p in model.parameters()])


def broken_foreach_zero() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101
        torch._foreach_zero_([torch.clone(p.grad) for p in model.parameters()])


def healthy_by_multiplication() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()
        for p in model.parameters():
            p.grad *= 0


def healthy_twice() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        model.zero_grad()
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def healthy_in_a_helper() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)

    def reset() -> None:
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = None

    for batch in batches():
        reset()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_late() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(80)):
        if number < 60:
            optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG105


def broken_without_any() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101


def broken_step_behind_the_loop_that_clears() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()  # expect: LG203
        optimizer.zero_grad()
    optimizer.step()


def broken_step_behind_each_loop_that_clears() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        for batch in batches(5):
            loss_of(model, batch).backward()  # expect: LG203
            optimizer.zero_grad()
        optimizer.step()


def healthy_gradients_taken_before_each_clear() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        taken = []
        for batch in batches(5):
            loss_of(model, batch).backward()
            taken.append([p.grad for p in model.parameters()])
            optimizer.zero_grad()
        for p, *gradients in zip(model.parameters(), *taken, strict=True):
            p.grad = torch.stack([g for g in gradients if g is not None]).median(dim=0).values
        optimizer.step()
