"""The demo model's three networks, with the parameter names of a Stable Diffusion 1.x file.

What it is: text tower, KL-VAE and UNet in plain PyTorch; `DemoModel.state_dict()` has exactly the
names and shapes that go into demo.safetensors. Widths are small, the wiring is that of SD 1.5.
What it is not: a loader for other checkpoints, or a place for training or sampling code.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from fast_norm import Norm

CONTEXT_LENGTH = 77
LATENT_SCALE = 0.18215
HEADS = 8


class UNetConfig:
    """Widths of the UNet: one residual block a level, attention at one level and in the middle."""
    channels = [96, 128, 192]
    attention_levels = [1]
    context = 192


class VaeConfig:
    """Widths of the VAE: three halvings, 4 latent channels.

    At least three channels for each of the 32 groups: a group of two that is constant over the picture comes out of
    the normalisation as plus or minus one whatever it was, so that the colours of plain areas would be lost.
    """
    channels = [96, 96, 96, 96]
    latent = 4


class TextConfig:
    """Widths of the text tower; merges + 514 rows in the token table."""
    width = 192
    layers = 4
    merges = 7168


# ---------------------------------------------------------------------------------------- text tower

def attention(q, k, v, bias=None):
    """Softmax attention as plain products: on CPUs its backward is many times faster than the fused one."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias
    return scores.softmax(dim=-1) @ v


class TextAttention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.heads = width // 64
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (p(x).view(batch, length, self.heads, 64).transpose(1, 2)
                   for p in (self.q_proj, self.k_proj, self.v_proj))
        future = torch.full((length, length), -30000.0, dtype=q.dtype).triu(1)
        y = attention(q, k, v, future)
        return self.out_proj(y.transpose(1, 2).reshape(batch, length, width))


class TextLayer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width)
        self.self_attn = TextAttention(width)
        self.layer_norm2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        hidden = self.mlp["fc1"](self.layer_norm2(x))
        return x + self.mlp["fc2"](hidden * torch.sigmoid(1.702 * hidden))


class TextModel(nn.Module):
    """CLIP-style causal transformer; returns the last hidden state after final_layer_norm."""

    def __init__(self, config=TextConfig):
        super().__init__()
        self.embeddings = nn.ModuleDict({
            "token_embedding": nn.Embedding(config.merges + 514, config.width),
            "position_embedding": nn.Embedding(CONTEXT_LENGTH, config.width)})
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(TextLayer(config.width) for _ in range(config.layers))})
        self.final_layer_norm = nn.LayerNorm(config.width)
        for table in self.embeddings.values():
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, tokens):
        x = self.embeddings["token_embedding"](tokens) + self.embeddings["position_embedding"].weight
        for layer in self.encoder["layers"]:
            x = layer(x)
        return self.final_layer_norm(x)


# ----------------------------------------------------------------------------------------------- VAE

class VaeBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1 = Norm(inputs, eps=1e-6, silu=True)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = Norm(outputs, eps=1e-6, silu=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.nin_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        h = self.conv1(self.norm1(x))
        h = self.conv2(self.norm2(h))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class VaeAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = Norm(channels, eps=1e-6, silu=False)
        for name in ("q", "k", "v", "proj_out"):
            setattr(self, name, nn.Conv2d(channels, channels, 1))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (p(h).flatten(2).transpose(1, 2).unsqueeze(1) for p in (self.q, self.k, self.v))
        y = attention(q, k, v).squeeze(1)
        return x + self.proj_out(y.transpose(1, 2).reshape(x.shape))


def vae_middle(channels):
    return nn.ModuleDict({"block_1": VaeBlock(channels, channels), "attn_1": VaeAttention(channels),
                          "block_2": VaeBlock(channels, channels)})


def run_middle(middle, x):
    return middle["block_2"](middle["attn_1"](middle["block_1"](x)))


class Encoder(nn.Module):
    def __init__(self, config=VaeConfig):
        super().__init__()
        widths = config.channels
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        for i, width in enumerate(widths):
            level = nn.ModuleDict({"block": nn.ModuleList([VaeBlock(widths[max(i - 1, 0)], width)])})
            if i + 1 < len(widths):
                level["downsample"] = nn.ModuleDict({"conv": nn.Conv2d(width, width, 3, stride=2)})
            self.down.append(level)
        self.mid = vae_middle(widths[-1])
        self.norm_out = Norm(widths[-1], eps=1e-6, silu=True)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.down:
            for block in level["block"]:
                x = block(x)
            if "downsample" in level:
                x = level["downsample"]["conv"](F.pad(x, (0, 1, 0, 1)))
        return self.conv_out(self.norm_out(run_middle(self.mid, x)))


class Decoder(nn.Module):
    def __init__(self, config=VaeConfig):
        super().__init__()
        widths = config.channels
        self.conv_in = nn.Conv2d(config.latent, widths[-1], 3, padding=1)
        self.mid = vae_middle(widths[-1])
        self.up = nn.ModuleList()
        for i, width in enumerate(widths):
            above = widths[min(i + 1, len(widths) - 1)]
            level = nn.ModuleDict({"block": nn.ModuleList([VaeBlock(above, width), VaeBlock(width, width)])})
            if i > 0:
                level["upsample"] = nn.ModuleDict({"conv": nn.Conv2d(width, width, 3, padding=1)})
            self.up.append(level)
        self.norm_out = Norm(widths[0], eps=1e-6, silu=True)
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z):
        x = run_middle(self.mid, self.conv_in(z))
        for level in reversed(self.up):
            for block in level["block"]:
                x = block(x)
            if "upsample" in level:
                x = level["upsample"]["conv"](F.interpolate(x, scale_factor=2, mode="nearest"))
        return self.conv_out(self.norm_out(x))


class Autoencoder(nn.Module):
    """KL-VAE; pictures are in -1..1, latents unscaled (multiply by LATENT_SCALE for the UNet)."""

    def __init__(self, config=VaeConfig):
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latent, 2 * config.latent, 1)
        self.post_quant_conv = nn.Conv2d(config.latent, config.latent, 1)

    def encode(self, pictures):
        """Mean and log variance of the latent."""
        return self.quant_conv(self.encoder(pictures)).chunk(2, dim=1)

    def decode(self, latents):
        return self.decoder(self.post_quant_conv(latents))


# ---------------------------------------------------------------------------------------------- UNet

def timestep_embedding(steps, width):
    """Sinusoidal embedding, cosines first."""
    frequencies = torch.exp(-math.log(10000) * torch.arange(width // 2, dtype=torch.float32) / (width // 2))
    angles = steps.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs, embedding):
        super().__init__()
        self.in_layers = nn.Sequential(Norm(inputs, eps=1e-5, silu=True), nn.Identity(),
                                       nn.Conv2d(inputs, outputs, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs))
        self.out_layers = nn.Sequential(Norm(outputs, eps=1e-5, silu=True), nn.Identity(), nn.Identity(),
                                        nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip_connection = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.out_layers[3].weight)

    def forward(self, x, embedding, _context):
        h = self.in_layers(x) + self.emb_layers(embedding)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class CrossAttention(nn.Module):
    def __init__(self, width, context):
        super().__init__()
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Identity())

    def forward(self, x, context):
        q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2)
                   for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        if len(k) < len(q):  # several noises of one caption: its keys and values are computed once
            k, v = (t.repeat(len(q) // len(k), 1, 1, 1) for t in (k, v))
        return self.to_out(attention(q, k, v).transpose(1, 2).flatten(2))


class GatedProjection(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = nn.Linear(width, 8 * width)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class TransformerBlock(nn.Module):
    def __init__(self, width, context):
        super().__init__()
        self.attn1 = CrossAttention(width, width)
        self.ff = nn.ModuleDict({"net": nn.Sequential(GatedProjection(width), nn.Identity(), nn.Linear(4 * width, width))})
        self.attn2 = CrossAttention(width, context)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x, context):
        h = self.norm1(x)
        x = x + self.attn1(h, h)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff["net"](self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self, width, context):
        super().__init__()
        self.norm = Norm(width, eps=1e-6, silu=False)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, context)])
        self.proj_out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.proj_out.weight)

    def forward(self, x, _embedding, context):
        _, _, height, width = x.shape
        h = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        h = self.transformer_blocks[0](h, context)
        return x + self.proj_out(h.transpose(1, 2).unflatten(2, (height, width)))


class ConvIn(nn.Conv2d):
    def forward(self, x, _embedding, _context):
        return super().forward(x)


class Downsample(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x, _embedding, _context):
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x, _embedding, _context):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class UNet(nn.Module):
    """Cross-attention UNet that predicts the noise."""

    def __init__(self, config=UNetConfig):
        super().__init__()
        widths, context = config.channels, config.context
        self.width, embedding, lowest = widths[0], 4 * widths[0], len(widths) - 1
        self.time_embed = nn.Sequential(nn.Linear(widths[0], embedding), nn.SiLU(), nn.Linear(embedding, embedding))

        def stage(inputs, level):
            parts = [ResBlock(inputs, widths[level], embedding)]
            if level in config.attention_levels:
                parts.append(SpatialTransformer(widths[level], context))
            return parts

        self.input_blocks = nn.ModuleList([nn.ModuleList([ConvIn(4, widths[0], 3, padding=1)])])
        skips = [widths[0]]
        for level, width in enumerate(widths):
            self.input_blocks.append(nn.ModuleList(stage(skips[-1], level)))
            skips.append(width)
            if level != lowest:
                self.input_blocks.append(nn.ModuleList([Downsample(width)]))
                skips.append(width)
        self.middle_block = nn.ModuleList([ResBlock(widths[-1], widths[-1], embedding),
                                           SpatialTransformer(widths[-1], context),
                                           ResBlock(widths[-1], widths[-1], embedding)])
        self.output_blocks = nn.ModuleList()
        current = widths[-1]
        for level in range(lowest, -1, -1):
            for number in range(2):
                parts = stage(current + skips.pop(), level)
                current = widths[level]
                if number == 1 and level > 0:
                    parts.append(Upsample(current))
                self.output_blocks.append(nn.ModuleList(parts))
        self.out = nn.Sequential(Norm(widths[0], eps=1e-5, silu=True), nn.Identity(), nn.Conv2d(widths[0], 4, 3, padding=1))
        self.start_as_identity()

    @torch.no_grad()
    def start_as_identity(self):
        """Sets the first weights so that the answer is the question: at much noise that is nearly right already.

        A latent travels through conv_in, the last skip and the last norm in a group of three channels: itself, its
        negative and a large constant. So the group's mean is a constant and its deviation nearly one, the latent
        passes unscaled, and silu(u) - silu(-u) = u.
        """
        anchor, size, first, last = 8.0, self.width // 32, self.input_blocks[0][0], self.output_blocks[-1][0]
        norm, out, used = self.out[0], self.out[2], 4 * size
        deviation = (2 / size + anchor ** 2 * (size - 1) / size ** 2) ** 0.5
        for weight in (out.weight, out.bias, first.weight[:used], first.bias[:used], last.out_layers[3].bias[:used],
                       last.skip_connection.weight[:used], last.skip_connection.bias[:used]):
            weight.zero_()
        for channel in range(used):
            last.skip_connection.weight[channel, last.skip_connection.in_channels - self.width + channel] = 1
        for latent in range(4):
            base = latent * size
            first.bias[base + 2] = anchor
            for channel, sign in ((base, 1), (base + 1, -1)):
                first.weight[channel, latent, 1, 1] = sign
                norm.bias[channel] = anchor / size / deviation
                out.weight[latent, channel, 1, 1] = sign * deviation

    def forward(self, x, steps, context):
        embedding = self.time_embed(timestep_embedding(steps, self.width))
        skips = []
        for block in self.input_blocks:
            for part in block:
                x = part(x, embedding, context)
            skips.append(x)
        for part in self.middle_block:
            x = part(x, embedding, context)
        for block in self.output_blocks:
            x = torch.cat([x, skips.pop()], dim=1)
            for part in block:
                x = part(x, embedding, context)
        return self.out(x)


class DemoModel(nn.Module):
    """All three networks under the names of the file."""

    def __init__(self):
        super().__init__()
        self.model = nn.ModuleDict({"diffusion_model": UNet()})
        self.first_stage_model = Autoencoder()
        self.cond_stage_model = nn.ModuleDict({"transformer": nn.ModuleDict({"text_model": TextModel()})})

    @property
    def unet(self):
        return self.model["diffusion_model"]

    @property
    def text(self):
        return self.cond_stage_model["transformer"]["text_model"]

    @property
    def vae(self):
        return self.first_stage_model


def cumulative_alphas():
    """Cumulative alphas of the scaled-linear schedule, 1000 steps."""
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0).float()
