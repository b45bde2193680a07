"""Parameters that two layers share, and parameters that two optimizers hold."""

import torch
from tiny import LONG, batches, loss_of, network
from torch import Tensor, nn
from torch.optim import SGD, Adam


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.output = nn.Linear(4, 7, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.output(self.embedding(tokens))
        return logits

    def loss(self) -> Tensor:
        tokens = torch.randint(7, (5,))
        return nn.functional.cross_entropy(self(tokens), tokens.roll(1))


def healthy_tied() -> None:
    model = Tied()
    optimizer = Adam(model.parameters())
    for _ in range(LONG):
        optimizer.zero_grad()
        model.loss().backward()
        optimizer.step()


def broken_tied() -> None:
    model = Tied()
    optimizer = Adam(model.parameters())
    for _ in range(LONG):
        model.loss().backward()
        optimizer.step()  # expect: LG101


def healthy_overlapping() -> None:
    model = network()
    whole, head = SGD(model.parameters(), lr=0.01), SGD(model[2].parameters(), lr=0.01)
    for batch in batches():
        whole.zero_grad()
        loss_of(model, batch).backward()
        whole.step()
        head.zero_grad()
        loss_of(model, batch).backward()
        head.step()


def broken_overlapping() -> None:
    model = network()
    whole, head = SGD(model.parameters(), lr=0.01), SGD(model[2].parameters(), lr=0.01)
    for batch in batches():
        head.zero_grad()
        loss_of(model, batch).backward()
        whole.step()  # expect: LG104
        head.zero_grad()
        loss_of(model, batch).backward()
        head.step()


def healthy_overlapping_on_one_loss() -> None:
    model = network()
    body, whole = SGD(model[0].parameters(), lr=0.01), SGD(model.parameters(), lr=0.01)
    for batch in batches():
        whole.zero_grad()
        loss_of(model, batch).backward()
        body.step()
        whole.step()


def broken_overlapping_on_one_loss() -> None:
    model = network()
    body, whole = SGD(model[0].parameters(), lr=0.01), SGD(model.parameters(), lr=0.01)
    for batch in batches():
        loss_of(model, batch).backward()
        body.step()  # expect: LG101
        whole.step()  # expect: LG101


def healthy_disjoint() -> None:
    model = network()
    body, head = SGD(model[0].parameters(), lr=0.01), Adam(model[2].parameters())
    for batch in batches():
        model.zero_grad()
        loss_of(model, batch).backward()
        body.step()
        head.step()


def broken_disjoint() -> None:
    model = network()
    body, head = SGD(model[0].parameters(), lr=0.01), Adam(model[2].parameters())
    for batch in batches():
        body.zero_grad()
        loss_of(model, batch).backward()
        body.step()
        head.step()  # expect: LG101


def healthy_list() -> None:
    model = network()
    optimizers = [SGD(layer.parameters(), lr=0.01) for layer in (model[0], model[2])]
    for batch in batches():
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss_of(model, batch).backward()
        for optimizer in optimizers:
            optimizer.step()


def broken_list() -> None:
    model = network()
    optimizers = [SGD(layer.parameters(), lr=0.01) for layer in (model[0], model[2])]
    for batch in batches():
        loss_of(model, batch).backward()
        for optimizer in optimizers:
            optimizer.step()  # expect: LG101


def healthy_alternating() -> None:
    model = network()
    body, head = SGD(model[0].parameters(), lr=0.01), SGD(model[2].parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        optimizer = body if number % 2 else head
        model.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


def broken_alternating() -> None:
    model = network()
    body, head = SGD(model[0].parameters(), lr=0.01), SGD(model[2].parameters(), lr=0.01)
    for number, batch in enumerate(batches()):
        optimizer = body if number % 2 else head
        loss_of(model, batch).backward()
        optimizer.step()  # expect: LG101
