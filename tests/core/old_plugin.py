"""A researcher's own network (a plain conv net with time and prompt) and his own torch Dataset, for genai."""
import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from genai.data.base import Example, Source, Split
from genai.modalities.picture import Picture
from torch import nn


class ConvNet(nn.Module):
    def __init__(self, shape: Sequence[int], context: int = 0, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        c = shape[0]
        self.stem = nn.Conv2d(c, width, 3, padding=1)
        self.condition = nn.Linear(1 + context, width)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=2**(i % 3), dilation=2**(i % 3)) for i in range(depth))
        self.out = nn.Conv2d(width, c, 3, padding=1)

    def forward(self, x, time, pooled=None):
        h = self.stem(x) + self.condition(torch.cat([time[:, None], pooled], 1))[:, :, None, None]
        for layer in self.body:
            h = h + layer(nn.functional.silu(h))
        return self.out(h)


class Dots(torch.utils.data.Dataset):          # his own Dataset: (uint8 HWC tensor, label)
    def __len__(self): return 400
    def __getitem__(self, i):
        r = np.random.default_rng(i); x = np.full((16, 16, 3), 255, np.uint8); k = i % 3
        y, z = r.integers(2, 10, 2); x[y:y+4, z:z+4] = 0; x[y:y+4, z:z+4, k] = 255
        return torch.from_numpy(x), ["red", "green", "blue"][k]


class DotsSource(Source):
    def __init__(self, size: int | None = None) -> None: pass
    media = Picture
    def _split(self, name, lo, hi):
        data = Dots()
        return Split(name, hi - lo, lambda i: Example(Picture(data[lo + i][0].numpy()), data[lo + i][1]), hashlib.sha256(f"dots{lo}{hi}".encode()).hexdigest())
    @property
    def train(self): return self._split("train", 0, 360)
    @property
    def val(self): return self._split("val", 360, 400)
