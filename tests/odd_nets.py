"""Small networks in which a layer is easily missed or miscounted."""

import torch
from torch import nn


class Twice(nn.Module):
    """One convolution called twice, one transposed, one grouped."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.up = nn.ConvTranspose2d(2, 4, 4, stride=2, padding=1)
        self.grouped = nn.Conv2d(4, 4, 3, groups=2)

    def forward(self, x):
        return self.grouped(self.up(self.conv(self.conv(x))))


class ByKeyword(nn.Module):
    """A convolution called by keyword, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(self.conv(input=x).mean((2, 3)))


class Tokens(nn.Module):
    """Patches of 4 pixels as tokens of 8 numbers, and a linear layer; subclasses work on the tokens."""

    def __init__(self):
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.mix(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


class ClassToken(Tokens):
    """Holds parameters itself, next to its children: a class token and positions."""

    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 17, 8))

    def mix(self, tokens):
        return torch.cat([self.token.expand(len(tokens), 1, 8), tokens], dim=1) + self.position


class Attention(Tokens):
    """Torch's attention, whose out_proj is never called."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def mix(self, tokens):
        return self.attention(tokens, tokens, tokens)[0]


class Fused(Tokens):
    """Attention by hand over torch's fused function: no module but its parent runs it."""

    def mix(self, tokens):
        heads = tokens.unflatten(2, (2, 4)).transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)


class Recurrent(nn.Module):
    """An LSTM over 4 rows of 8 numbers, which gives a tuple."""

    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 2)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


class Windows(nn.Module):
    """A linear layer on 4 windows an image, and a functional one."""

    def __init__(self):
        super().__init__()
        self.fc, self.weight = nn.Linear(4, 5), nn.Parameter(torch.zeros(6, 20))

    def forward(self, x):
        return nn.functional.linear(self.fc(x.reshape(-1, 4)).reshape(len(x), 20), self.weight)


class Drawing(nn.Module):
    """Draws noise, counts in a buffer and puts another in place of one, as spiking networks do."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.register_buffer("steps", torch.zeros(3))
        self.register_buffer("potential", torch.zeros(2))
        self.register_buffer("direction", torch.zeros(2))
        self.last = torch.zeros(1)

    def forward(self, x):
        self.steps += 1
        self.potential = self.potential + torch.rand(2)
        self.direction.data = torch.ones(2)
        self.last.add_(1)
        return self.fc(x) + self.potential


def tied():
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    model[1].weight = model[0].weight
    return model
