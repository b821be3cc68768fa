"""nanoGPT (github.com/karpathy/nanoGPT, MIT) with the settings that it publishes for a CPU, as a peer.

4 layers, 4 heads, width 128, block 64, batch 12, 2,000 steps, no dropout; AdamW at 0.001 with betas (0.9, 0.99) and
weight decay 0.1, 100 steps of warm-up, a cosine to 0.0001, gradients clipped to 1. GPT-2's block without biases:
LayerNorm, learned positions, GELU, tied readout. Weights start from N(0, 0.02), those that write to the residual
stream from N(0, 0.02 / sqrt(2 layers)).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYERS, HEADS, WIDTH, BLOCK, BATCH, STEPS = 4, 4, 128, 64, 12, 2000
RATE, LAST_RATE, WARMUP, BETAS, WEIGHT_DECAY, CLIP = 1e-3, 1e-4, 100, (0.9, 0.99), 0.1, 1.0


class Block(nn.Module):
    """Attention and a feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.qkv, self.attended = (nn.Linear(WIDTH, n * WIDTH, bias=False) for n in (3, 1))
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, _ = x.shape
        heads = self.qkv(self.norms[0](x)).view(batch, time, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(*heads, is_causal=True)  # (batch, heads, time, width / heads)
        x = x + self.attended(attended.transpose(1, 2).reshape(batch, time, WIDTH))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


class NanoGPT(nn.Module):
    """The network: token ids (batch, time) -> logits (batch, time, vocabulary)."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab_size, WIDTH), nn.Embedding(BLOCK, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                writes = name.endswith(("attended.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if writes else 0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x) + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


class Training:
    """Its training loop on ``tokens`` (time,) int64.

    Attributes:
        step: number of steps so far.
    """

    def __init__(self, tokens: Tensor, vocab_size: int, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.tokens, self.step = tokens, 0
        self.network = NanoGPT(vocab_size)
        matrices = [p for p in self.network.parameters() if p.ndim >= 2]
        others = [p for p in self.network.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS)
        self.random = torch.Generator().manual_seed(seed)

    def run(self, steps: int) -> None:
        """Make ``steps`` steps."""
        for _ in range(steps):
            starts = torch.randint(len(self.tokens) - BLOCK, (BATCH,), generator=self.random)
            windows = torch.stack([self.tokens[start : start + BLOCK + 1] for start in starts.tolist()])
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.step)
            logits = self.network(windows[:, :-1])
            F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.step += 1


def learning_rate(step: int) -> float:
    """Return the learning rate of a step (the first is 0)."""
    if step < WARMUP:
        return RATE * (step + 1) / (WARMUP + 1)
    progress = (step - WARMUP) / (STEPS - WARMUP)
    return LAST_RATE + 0.5 * (1 + math.cos(math.pi * progress)) * (RATE - LAST_RATE)
