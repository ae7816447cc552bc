"""ViT-B/16, GPT-2 and BERT-base in plain torch: width 768, 12 layers, 12 heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

WIDTH = 768
N_LAYERS = 12
N_HEADS = 12


class EncoderMlp(nn.Module):
    """Two projections with the exact Gaussian error linear unit between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.gelu(self.fc1(x)))


class EncoderLayer(nn.Module):
    """Attention and perceptron, each after its normalisation and beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(WIDTH, N_HEADS, batch_first=True)
        self.ln_2 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.mlp = EncoderMlp()

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        y, _ = self.self_attention(y, y, y, need_weights=False)
        x = y + x
        return x + self.mlp(self.ln_2(x))


class VisionTransformer(nn.Module):
    """ViT-B/16: 196 patches and a class token."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, WIDTH, 16, stride=16)
        self.class_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embedding = nn.Parameter(torch.empty(1, 14 * 14 + 1, WIDTH).normal_(std=0.02))
        self.layers = nn.Sequential(*(EncoderLayer() for _ in range(N_LAYERS)))
        self.ln = nn.LayerNorm(WIDTH, eps=1e-6)
        self.head = nn.Linear(WIDTH, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        token = self.class_token.expand(x.shape[0], -1, -1)
        x = torch.cat([token, x], dim=1)
        x = x + self.pos_embedding
        x = self.ln(self.layers(x))
        return self.head(x[:, 0])


class CausalAttention(nn.Module):
    """Attention of every token to itself and those before it."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH)
        self.c_proj = nn.Linear(WIDTH, WIDTH)
        self.resid_dropout = nn.Dropout(dropout)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = (batch, length, N_HEADS, width // N_HEADS)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.c_attn(x).split(width, dim=2))
        y = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.dropout if self.training else 0.0, is_causal=True
        )
        y = y.transpose(1, 2).contiguous().view(batch, length, width)
        return self.resid_dropout(self.c_proj(y))


class Mlp(nn.Module):
    """GPT-2's perceptron, with the approximate Gaussian error linear unit."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.c_fc = nn.Linear(WIDTH, 4 * WIDTH)
        self.gelu = nn.GELU(approximate="tanh")
        self.c_proj = nn.Linear(4 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.gelu(self.c_fc(x))))


class GPT2Block(nn.Module):
    """One layer of GPT-2."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH)
        self.attn = CausalAttention(dropout)
        self.ln_2 = nn.LayerNorm(WIDTH)
        self.mlp = Mlp(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """GPT-2 with 124 M parameters; one matrix embeds the tokens and predicts the next."""

    def __init__(self, vocabulary: int = 50257, context: int = 1024, dropout: float = 0.1) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, WIDTH)
        self.wpe = nn.Embedding(context, WIDTH)
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList(GPT2Block(dropout) for _ in range(N_LAYERS))
        self.ln_f = nn.LayerNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, input_ids: Tensor) -> Tensor:
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.drop(self.wte(input_ids) + self.wpe(positions))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


class BertEmbeddings(nn.Module):
    """Words, segments and positions, summed and normalised."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.word = nn.Embedding(30522, WIDTH)
        self.segment = nn.Embedding(2, WIDTH)
        self.position = nn.Embedding(512, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("position_ids", torch.arange(512).unsqueeze(0), persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        positions = self.position_ids[:, : input_ids.shape[1]]
        x = self.word(input_ids) + self.segment(torch.zeros_like(positions))
        return self.dropout(self.norm(x + self.position(positions)))


class BertAttention(nn.Module):
    """Attention of every token to all that are no padding, and the shortcut around it."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.output = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        shape = (*x.shape[:2], N_HEADS, WIDTH // N_HEADS)
        q = self.query(x).view(shape).transpose(1, 2)
        k = self.key(x).view(shape).transpose(1, 2)
        v = self.value(x).view(shape).transpose(1, 2)
        dropout = self.dropout.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        y = self.output(y.transpose(1, 2).reshape(x.shape))
        return self.norm(self.dropout(y) + x)


class BertLayer(nn.Module):
    """One layer of BERT: normalisation comes after the shortcuts."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.attention = BertAttention(dropout)
        self.intermediate = nn.Linear(WIDTH, 4 * WIDTH)
        self.output = nn.Linear(4 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention(x, mask)
        y = self.output(F.gelu(self.intermediate(x)))
        return self.norm(self.dropout(y) + x)


class Bert(nn.Module):
    """BERT-base with its pooler, on texts of one segment."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(dropout)
        self.encoder = nn.ModuleList(BertLayer(dropout) for _ in range(N_LAYERS))
        self.pooler = nn.Linear(WIDTH, WIDTH)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.embeddings(input_ids)
        mask = 1.0 - attention_mask[:, None, None, :].to(x.dtype)
        mask = mask * torch.finfo(x.dtype).min
        for layer in self.encoder:
            x = layer(x, mask)
        return x, torch.tanh(self.pooler(x[:, 0]))
