"""Steps that find no gradients, because somebody has emptied them by hand, or nobody has computed any; and rightly so."""

import torch
from tiny import LONG, batches, loss_of, network
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam


def healthy_none_before_the_backward_pass() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        for p in model.parameters():
            p.grad = None
        loss_of(model, batch).backward()
        optimizer.step()


def broken_none() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        for p in model.parameters():
            p.grad = None  # expect: LG103
        optimizer.step()


def broken_deleted() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for batch in batches():
        loss_of(model, batch).backward()
        for p in model.parameters():
            if p.grad is not None:
                del p.grad  # expect: LG103
        optimizer.step()


def broken_zeroed() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        for p in model.parameters():
            p.grad.zero_()  # expect: LG103
        optimizer.step()


def broken_zeroed_past_autograd() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        for p in model.parameters():
            p.grad.data.fill_(0)  # expect: LG103
        optimizer.step()


def forget(model: nn.Module) -> None:
    for p in model.parameters():
        p.grad = None


def broken_in_a_helper() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)

    def discard() -> None:
        for p in model.parameters():
            p.grad = None  # expect: LG103

    for batch in batches():
        loss_of(model, batch).backward()
        discard()
        optimizer.step()


def broken_step_first() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        for p in model.parameters():
            p.grad = None
        optimizer.step()  # expect: LG202
        loss_of(model, batch).backward()


def broken_with_a_scaler() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu")
    for batch in batches():
        scaler.scale(loss_of(model, batch)).backward()
        scaler.unscale_(optimizer)
        for p in model.parameters():
            p.grad = None  # expect: LG103
        scaler.step(optimizer)
        scaler.update()


def healthy_a_batch_that_is_dropped() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        loss_of(model, batch).backward()
        if number % 5 == 4:
            for p in model.parameters():
                p.grad = None
        optimizer.step()
        forget(model)


def healthy_first_batches_that_are_dropped() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        loss_of(model, batch).backward()
        if number < 4:
            for p in model.parameters():
                p.grad = None
        optimizer.step()
        forget(model)


def healthy_first_batches_that_are_cleared() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        loss_of(model, batch).backward()
        if number < 4:
            optimizer.zero_grad()
        optimizer.step()
        optimizer.zero_grad()


def broken_under_a_flag() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    clears_first = True
    for batch in batches():
        loss_of(model, batch).backward()
        if clears_first:
            optimizer.zero_grad()  # expect: LG103
        optimizer.step()


def healthy_moved_and_brought_back() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        kept = [p.grad for p in model.parameters()]
        forget(model)
        for p, gradient in zip(model.parameters(), kept, strict=True):
            p.grad = gradient
        optimizer.step()
        forget(model)


def healthy_moved_for_a_hook_to_bring_back() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    kept: list[Tensor | None] = []

    def bring_back(*_: object) -> None:
        for p, gradient in zip(model.parameters(), kept, strict=True):
            p.grad = gradient

    optimizer.register_step_pre_hook(bring_back)
    for batch in batches():
        loss_of(model, batch).backward()
        kept[:] = [p.grad for p in model.parameters()]
        for p in model.parameters():
            p.grad = None
        optimizer.step()
        forget(model)


def healthy_applied_by_hand() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.01 * p.grad
                p.grad = None
        optimizer.step()


def healthy_applied_in_hooks() -> None:
    model = network()
    each = {p: SGD([p], lr=0.01) for p in model.parameters()}
    whole = SGD(model.parameters(), lr=0.0)

    def apply(p: Tensor) -> None:
        each[p].step()
        p.grad = None

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(apply)
    for batch in batches():
        loss_of(model, batch).backward()
        whole.step()


def healthy_closure_that_clears_by_hand() -> None:
    model = network()
    optimizer = LBFGS(model.parameters(), max_iter=2)
    for batch in batches(5):

        def closure(batch: tuple[Tensor, Tensor] = batch) -> Tensor:
            for p in model.parameters():
                p.grad = None
            loss = loss_of(model, batch)
            loss.backward()
            return loss

        optimizer.step(closure)
        forget(model)


def healthy_step_that_makes_the_state() -> None:
    model = network()
    optimizer = Adam(model.parameters())
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def healthy_steps_that_make_the_state_of_several() -> None:
    models = [network() for _ in range(LONG // 4)]
    optimizers = [Adam(model.parameters()) for model in models]
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    for model, optimizer in zip(models, optimizers, strict=True):
        for batch in batches(5):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()


def healthy_warm_up_without_gradients() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        if number >= LONG // 2:
            loss.backward()
        optimizer.step()


def broken_never_computed() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        if loss.isnan():
            loss.backward()
        optimizer.step()  # expect: LG301


def healthy_short_and_never_computed() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches(4):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        if loss.isnan():
            loss.backward()
        optimizer.step()


def healthy_in_turn() -> None:
    first, second = network(), network()
    one, two = SGD(first.parameters(), lr=0.01), SGD(second.parameters(), lr=0.01)
    for number, batch in enumerate(batches(2 * LONG)):
        one.zero_grad()
        two.zero_grad()
        loss_of(first if number < LONG else second, batch).backward()
        one.step()
        two.step()


def healthy_frozen_later() -> None:
    model = network()
    optimizer = SGD(model[0].parameters(), lr=0.01)
    rest = SGD(model[2].parameters(), lr=0.01)
    for number, batch in enumerate(batches(2 * LONG)):
        if number == LONG:
            model[0].requires_grad_(False)
        optimizer.zero_grad()
        rest.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        rest.step()


def broken_step_in_a_lambda() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    tick = lambda: optimizer.step()  # noqa: E731  # expect: LG202
    for batch in batches():
        model.zero_grad()
        loss = loss_of(model, batch)
        tick()
        if loss.isnan():
            loss.backward()


def healthy_step_in_a_lambda() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    tick = lambda: optimizer.step()  # noqa: E731
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        tick()


def broken_step_that_nothing_calls() -> None:
    model = network()
    optimizer_of_mine = SGD(model.parameters(), lr=0.01)
    unheard_of = lambda: optimizer_of_mine.step()  # noqa: E731, F841
    for batch in batches():
        optimizer_of_mine.zero_grad()
        loss_of(model, batch).backward()  # expect: LG201


def healthy_step_that_may_be_called() -> None:
    model = network()
    optimizer_of_ours = SGD(model.parameters(), lr=0.01)

    def finish() -> None:
        optimizer_of_ours.step()

    for number, batch in enumerate(batches()):
        optimizer_of_ours.zero_grad()
        loss_of(model, batch).backward()
        if number > 10 * LONG:
            finish()


def broken_window_with_another_loss() -> None:
    model, other = network(), network()
    optimizer, second = SGD(model.parameters(), lr=0.01), SGD(other.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()  # expect: LG401
        loss_of(model, batch).backward()
        if number % 2 == 0:
            optimizer.step()
        second.zero_grad()
        (loss_of(other, batch) + loss_of(model, batch)).backward()
        second.step()


def healthy_rarer_loss_with_another_leaking() -> None:
    generator, critic = network(), nn.Linear(1, 1)
    opt_g, opt_c = SGD(generator.parameters(), lr=0.01), SGD(critic.parameters(), lr=0.01)
    for number, (inputs, _) in enumerate(batches()):
        opt_g.zero_grad()
        opt_c.zero_grad()
        critic(generator(inputs)).mean().backward()
        opt_c.step()
        if number % 5 == 4:
            opt_g.zero_grad()
            (-critic(generator(inputs)).mean()).backward()
            opt_g.step()
