"""Writes goldens/adapters/*.safetensors, an adapter file of each kind for the tiny checkpoint, and goldens/adapters.safetensors,
what the text encoder and the UNet give with each: weights are edited by the formulas that AUTOMATIC1111 applies."""

import math

import torch
from safetensors.torch import save_file

from ldm import TINY, encode_text, models
from make_models import GOLDENS, save

UNET = [
    "down_blocks.0.attentions.0.proj_in",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
    "up_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj",
    "down_blocks.0.resnets.0.conv1",
    "down_blocks.0.downsamplers.0.conv",
    "mid_block.resnets.0.time_emb_proj",
    "time_embedding.linear_1",
]
TEXT = ["encoder.layers.1.self_attn.q_proj", "encoder.layers.0.mlp.fc1"]
NORMS = ["down_blocks.0.attentions.0.norm", "up_blocks.0.resnets.0.norm1"], ["encoder.layers.2.layer_norm1"]
STRENGTHS = {"unet": 0.8, "text": -0.6}
RANK = 4


def cp(core, a, b):
    return torch.einsum("ij...,ip,jr->pr...", core, a, b)


class Maker:
    """Makes the parts of a layer, and what they change of its weight and bias."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def noise(self, *shape, scale=1.0):
        return torch.randn(shape, generator=self.generator) * scale

    def pair(self, weight):
        """Low rank matrices whose product is about as large as the weight."""
        inputs = weight[0].numel()
        return self.noise(RANK, *weight.shape[1:], scale=1 / math.sqrt(inputs)), self.noise(weight.shape[0], RANK, scale=0.5)

    def lora(self, weight):
        down, up = self.pair(weight)
        delta = (up @ down.flatten(1)).reshape(weight.shape)
        if weight.ndim == 4:
            up = up[:, :, None, None]
        return {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(3.0)}, delta * 3 / RANK, None

    def locon(self, weight):
        if weight.ndim != 4 or weight.shape[2] == 1:
            return self.lora(weight)
        down, up = self.noise(RANK, weight.shape[1], 1, 1, scale=0.3), self.noise(weight.shape[0], RANK, 1, 1, scale=0.3)
        mid = self.noise(RANK, RANK, 3, 3, scale=0.3)
        delta = torch.einsum("opab,pqkl,qiab->oikl", up, mid, down)
        return {"lora_down.weight": down, "lora_up.weight": up, "lora_mid.weight": mid, "scale": torch.tensor(0.5)}, delta * 0.5, None

    def dora(self, weight):
        parts, delta, _ = self.lora(weight)
        merged = weight + delta
        norm = merged.transpose(0, 1).flatten(1).norm(dim=1)
        length = norm * (1 + 0.2 * self.noise(norm.numel()))
        shape = (1, -1) + (1,) * (weight.ndim - 2)
        parts["dora_scale"] = length.reshape(shape)
        return parts, merged * (length / norm).reshape(shape) - weight, None

    def dora_rows(self, weight):
        parts, delta, _ = self.lora(weight)
        merged = weight + delta
        norm = merged.flatten(1).norm(dim=1)
        length = norm * (1 + 0.2 * self.noise(norm.numel()))
        shape = (-1,) + (1,) * (weight.ndim - 1)
        parts["dora_scale"] = length.reshape(shape)
        return parts, merged * (length / norm).reshape(shape) - weight, None

    def loha(self, weight):
        rows, inputs = weight.shape[0], weight.shape[1]
        parts = {"alpha": torch.tensor(2.0)}
        factors = []
        for number in "12":
            if weight.ndim == 4 and weight.shape[2] == 3:
                a, b, t = self.noise(RANK, rows, scale=0.5), self.noise(RANK, inputs, scale=0.5), self.noise(RANK, RANK, 3, 3, scale=0.5)
                parts[f"hada_t{number}"] = t
                factors.append(cp(t, a, b))
            else:
                a, b = self.noise(rows, RANK, scale=0.5), self.noise(RANK, weight[0].numel(), scale=0.5)
                factors.append((a @ b).reshape(weight.shape))
            parts[f"hada_w{number}_a"], parts[f"hada_w{number}_b"] = a, b
        return parts, factors[0] * factors[1] * 2 / RANK, None

    def lokr(self, weight):
        rows, inputs = weight.shape[0], weight.shape[1]
        parts = {"alpha": torch.tensor(2.0)}
        first = parts["lokr_w1"] = self.noise(4, 2, scale=0.5)
        if weight.ndim == 4 and weight.shape[2] == 3:
            a, b, t = self.noise(RANK, rows // 4, scale=0.5), self.noise(RANK, inputs // 2, scale=0.5), self.noise(RANK, RANK, 3, 3, scale=0.5)
            parts["lokr_t2"] = t
            second = cp(t, a, b)
            first = first[:, :, None, None]
        else:
            a, b = self.noise(rows // 4, RANK, scale=0.5), self.noise(RANK, inputs // 2, scale=0.5)
            second = a @ b
        parts["lokr_w2_a"], parts["lokr_w2_b"] = a, b
        return parts, torch.kron(first.contiguous(), second.contiguous()).reshape(weight.shape) * 2 / RANK, None

    def ia3(self, weight):
        by = self.noise(weight.shape[0], scale=0.5)
        return {"weight": by, "on_input": torch.tensor(0.0)}, weight * by.reshape(-1, *[1] * (weight.ndim - 1)), None

    def full(self, weight):
        diff = self.noise(*weight.shape, scale=0.5 / math.sqrt(weight[0].numel()))
        bias = self.noise(weight.shape[0], scale=0.2)
        return {"diff": diff, "diff_b": bias}, diff, bias

    def norm(self, weight):
        diff, bias = self.noise(*weight.shape, scale=0.3), self.noise(*weight.shape, scale=0.3)
        return {"w_norm": diff, "b_norm": bias}, diff, bias

    def glora(self, weight):
        rows, inputs = weight.shape[:2]
        a1, a2 = self.noise(RANK, inputs, scale=0.4), self.noise(inputs, RANK, scale=0.4)
        b1, b2 = self.noise(RANK, inputs, scale=0.2), self.noise(rows, RANK, scale=0.4)
        matrix = weight.flatten(1)
        delta = (b2 @ b1 + matrix @ a2 @ a1).reshape(weight.shape)
        return {"a1.weight": a1, "a2.weight": a2, "b1.weight": b1, "b2.weight": b2}, delta, None

    def oft(self, weight):
        size, constraint = 4, 0.05
        count = weight.shape[0] // size
        blocks = self.noise(count, size, size, scale=0.5)
        skew = blocks - blocks.transpose(1, 2)
        norm = skew.flatten().norm()
        skew = skew * ((norm.clamp(max=constraint * weight.shape[0]) + 1e-8) / (norm + 1e-8))
        eye = torch.eye(size)
        rotation = (eye + skew) @ torch.linalg.inv(eye - skew)
        merged = torch.einsum("knm,kn...->km...", rotation, weight.unflatten(0, (count, size))).flatten(0, 1)
        return {"oft_blocks": blocks, "alpha": torch.tensor(constraint)}, merged - weight, None


def edit(model, layers, maker, kind, strength, prefix):
    """Changes layers of a model; answers the parts of the file, and how to undo it."""
    parts, undo = {}, []
    for layer in layers:
        module = model.get_submodule(layer)
        made, delta, bias = getattr(maker, kind)(module.weight.data)
        if bias is not None and module.bias is None:
            made.pop("diff_b")
            bias = None
        parts |= {f"{prefix}_{layer.replace('.', '_')}.{part}": tensor for part, tensor in made.items()}
        undo.append((module, module.weight.data.clone(), None if module.bias is None else module.bias.data.clone()))
        module.weight.data += strength * delta
        if bias is not None:
            module.bias.data += strength * bias
    return parts, undo


@torch.no_grad()
def main():
    text, unet, _ = models(TINY, seed=20)
    generator = torch.Generator().manual_seed(5)
    latent = torch.randn((1, 4, 8, 8), generator=generator)
    context = torch.randn((1, 77, TINY.text_width), generator=generator)
    ids = (torch.randn((1, 77), generator=generator).abs() * 1000).long() % TINY.vocabulary
    rows = {"latent": latent, "context": context[0], "tokens": ids, "timestep": torch.tensor([500.5])}
    run = lambda: (encode_text(text, ids)[0], unet(latent, rows["timestep"], context).sample)
    rows["plain.text"], rows["plain.unet"] = run()
    (GOLDENS / "adapters").mkdir(exist_ok=True)
    kinds = ["lora", "locon", "dora", "dora_rows", "loha", "lokr", "ia3", "full", "norm", "glora", "oft"]
    for seed, kind in enumerate(kinds):
        maker = Maker(seed + 100)
        unet_layers, text_layers = NORMS if kind == "norm" else (UNET, TEXT)
        if kind == "glora":
            unet_layers = [name for name in UNET if "conv" not in name]
        parts, undo = edit(unet, unet_layers, maker, kind, STRENGTHS["unet"], "lora_unet")
        more, undo_text = edit(text, text_layers, maker, kind, STRENGTHS["text"], "lora_te_text_model")
        rows[f"{kind}.text"], rows[f"{kind}.unet"] = run()
        save_file({name: part.contiguous() for name, part in (parts | more).items()}, GOLDENS / "adapters" / f"{kind}.safetensors")
        for module, weight, bias in undo + undo_text:
            module.weight.data = weight
            if bias is not None:
                module.bias.data = bias
    save("adapters", rows)


if __name__ == "__main__":
    main()
