"""The optimiser of both stages: Muon for weight matrices, AdamW for everything else.

What it is: momentum whose update is made orthogonal by five Newton-Schulz steps, which learns from a small number
of samples about twice as fast as Adam's (Jordan et al. 2024, "Muon"; scaled to Adam's size of update after Liu et
al. 2025, "Muon is scalable for LLM training", section 2.2). Convolution kernels count as outputs x the rest.
What it is not: a torch.optim.Optimizer; it has the two methods that the trainers use, and a state to save.
"""

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(matrix, steps=5):
    """Nearest semi-orthogonal matrix of a 2-D tensor, roughly: singular values come out between 0.7 and 1.2."""
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = (wide / (wide.norm() + 1e-7)).bfloat16()
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide is matrix else x.T


class Muon:
    """named: (name, parameter) pairs; plain: whether Adam's rule is to be used, by name and parameter."""

    def __init__(self, named, plain, momentum=0.95, weight_decay=0.01):
        named = list(named)
        self.matrices = [p for name, p in named if p.dim() >= 2 and not plain(name, p)]
        others = [p for name, p in named if p.dim() < 2 or plain(name, p)]
        self.adam = torch.optim.AdamW(others, lr=1.0, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.momenta = [torch.zeros_like(p) for p in self.matrices]
        self.momentum, self.weight_decay = momentum, weight_decay

    def _updates(self, rank, workers):
        """Every matrix's orthogonal update; each worker computes its share of them and tells the others."""
        shapes = [self._flat(p).shape for p in self.matrices]
        shares, costs = [[] for _ in range(workers)], [0] * workers
        for number in sorted(range(len(shapes)), key=lambda n: -min(shapes[n]) * shapes[n].numel()):
            worker = costs.index(min(costs))
            shares[worker].append(number)
            costs[worker] += min(shapes[number]) * shapes[number].numel()
        updates = [None] * len(shapes)
        for worker, share in enumerate(shares):
            parts = torch.empty(sum(shapes[n].numel() for n in share), dtype=torch.bfloat16)
            if worker == rank:
                torch.cat([self._orthogonal_momentum(n).flatten() for n in share], out=parts)
            shares[worker] = (share, parts)
        for worker, (share, parts) in enumerate(shares):
            torch.distributed.broadcast(parts.view(torch.uint8), src=worker)
            for number, part in zip(share, parts.split([shapes[n].numel() for n in share])):
                updates[number] = part.view(shapes[number])
        return updates

    def _orthogonal_momentum(self, number):
        return orthogonal(self._flat(self.matrices[number].grad.lerp(self.momenta[number], self.momentum)))

    @staticmethod
    def _flat(tensor):
        """A convolution's kernels as a matrix; the order of the columns does not matter to the rule."""
        return tensor.permute(0, 2, 3, 1).flatten(1) if tensor.dim() == 4 else tensor

    @torch.no_grad()
    def step(self, rate, rank, workers):
        """One update at the given rate (RMS of a matrix's update is a fifth of it)."""
        for parameter, momentum in zip(self.matrices, self.momenta):
            momentum.lerp_(parameter.grad, 1 - self.momentum)
        for parameter, update in zip(self.matrices, self._updates(rank, workers)):
            size = 0.2 * max(update.shape) ** 0.5
            if parameter.dim() == 4:
                outputs, inputs, height, width = parameter.shape
                update = update.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
            parameter.mul_(1 - rate * self.weight_decay).add_(update, alpha=-rate * size)
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()

    def state_dict(self):
        return {"adam": self.adam.state_dict(), "momenta": self.momenta}

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"])
        for mine, saved in zip(self.momenta, state["momenta"]):
            mine.copy_(saved)
