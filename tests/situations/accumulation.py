"""Gradients of a window of batches are summed on purpose; a gate opens where it ends."""

from tiny import batches, loss_of, network
from torch.optim import SGD

SIZE = 4


def healthy() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        (loss_of(model, batch) / SIZE).backward()
        if (number + 1) % SIZE == 0:
            optimizer.step()
            optimizer.zero_grad()


def broken_cleared() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        optimizer.zero_grad()  # expect: LG401
        (loss_of(model, batch) / SIZE).backward()
        if (number + 1) % SIZE == 0:
            optimizer.step()


def broken_never_cleared() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        (loss_of(model, batch) / SIZE).backward()
        if (number + 1) % SIZE == 0:
            optimizer.step()  # expect: LG101


def healthy_remainder() -> None:
    model, count = network(), 42
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        for number, batch in enumerate(batches(count)):
            (loss_of(model, batch) / SIZE).backward()
            if (number + 1) % SIZE == 0 or number + 1 == count:
                optimizer.step()
                optimizer.zero_grad()


def healthy_remainder_behind() -> None:
    model, count = network(), 42
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        for number, batch in enumerate(batches(count), 1):
            (loss_of(model, batch) / SIZE).backward()
            if number % SIZE == 0:
                optimizer.step()
                optimizer.zero_grad()
        if count % SIZE:
            optimizer.step()


def healthy_flag() -> None:
    model, count = network(), 40
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(count)):
        is_last = number % SIZE == SIZE - 1 or number == count - 1
        (loss_of(model, batch) / SIZE).backward()
        if not is_last:
            continue
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)


def broken_flag() -> None:
    model, count = network(), 40
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches(count)):
        is_last = number % SIZE == SIZE - 1 or number == count - 1
        (loss_of(model, batch) / SIZE).backward()
        if is_last:
            optimizer.zero_grad()  # expect: LG103
            optimizer.step()


def healthy_counter() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    waiting = 0
    for batch in batches():
        (loss_of(model, batch) / SIZE).backward()
        waiting += 1
        if waiting == SIZE:
            optimizer.step()
            optimizer.zero_grad()
            waiting = 0


def broken_counter() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    waiting = 0
    for batch in batches():
        (loss_of(model, batch) / SIZE).backward()
        waiting += 1
        if waiting == SIZE:
            optimizer.step()  # expect: LG101
            waiting = 0


def healthy_inner_loop() -> None:
    model, stream = network(), batches(200)
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        for _ in range(SIZE):
            (loss_of(model, next(stream)) / SIZE).backward()
        optimizer.step()


def broken_inner_loop() -> None:
    model, stream = network(), batches(200)
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(30):
        for _ in range(SIZE):
            (loss_of(model, next(stream)) / SIZE).backward()
        optimizer.step()  # expect: LG101


def healthy_cleared_at_the_beginning() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        if number % SIZE == 0:
            optimizer.zero_grad()
        (loss_of(model, batch) / SIZE).backward()
        if number % SIZE == SIZE - 1:
            optimizer.step()


def broken_early_gate() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        (loss_of(model, batch) / SIZE).backward()
        if number % SIZE == 0:
            optimizer.step()  # expect: LG404
            optimizer.zero_grad()


def healthy_growing_window() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    size, waiting = 1, 0
    for number, batch in enumerate(batches(80)):
        size = 1 + number // 20
        (loss_of(model, batch) / size).backward()
        waiting += 1
        if waiting >= size:
            optimizer.step()
            optimizer.zero_grad()
            waiting = 0


def healthy_several_losses() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        sum(p.square().sum() for p in model.parameters()).backward()
        optimizer.step()


def broken_several_losses() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        sum(p.square().sum() for p in model.parameters()).backward()
        optimizer.step()  # expect: LG101
