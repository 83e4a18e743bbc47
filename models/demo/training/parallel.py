"""Two (or more) single-threaded training processes that average their gradients.

What it is: the start of the worker processes and one all-reduce a step, over the loopback. On a machine
that others use too this loses far less than one process whose threads wait for each other in every layer.
What it is not: training across machines.
"""

import os

import torch
import torch.distributed
import torch.multiprocessing


def _worker(rank, workers, port, function, options):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=workers)
    function(rank, workers, options)
    torch.distributed.destroy_process_group()


def run_workers(function, options, workers, port):
    """Runs function(rank, workers, options) in `workers` processes and waits for them."""
    torch.multiprocessing.spawn(_worker, args=(workers, port, function, options), nprocs=workers)


def average_gradients(parameters, workers):
    """Replaces every gradient by its mean over the workers."""
    gradients = [p.grad for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    torch.distributed.all_reduce(flat)
    flat /= workers
    offset = 0
    for gradient in gradients:
        gradient.copy_(flat[offset:offset + gradient.numel()].view_as(gradient))
        offset += gradient.numel()


class FlatParameters:
    """All trained parameters as one tensor, and their gradients as another.

    The modules keep views of both, so one all-reduce, one norm and one optimiser step serve all of them.
    """

    def __init__(self, parameters):
        parameters = list(parameters)
        total = sum(p.numel() for p in parameters)
        self.values = torch.nn.Parameter(torch.empty(total))
        self.values.grad = torch.zeros(total)
        offset = 0
        for parameter in parameters:
            place = slice(offset, offset + parameter.numel())
            offset = place.stop
            view = self._view(self.values.data[place], parameter)
            view.copy_(parameter.data)
            parameter.data = view
            if parameter.requires_grad:
                parameter.grad = self._view(self.values.grad[place], parameter)

    @staticmethod
    def _view(part, parameter):
        """Part of the flat tensor in the parameter's shape; kernels of convolutions channels-last."""
        if parameter.dim() == 4:
            outputs, inputs, height, width = parameter.shape
            return part.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
        return part.view(parameter.shape)

    def average_and_clip(self, workers, limit):
        """Mean of the gradients over the workers, scaled down to `limit`; False if it is not finite."""
        gradient = self.values.grad
        torch.distributed.all_reduce(gradient)
        norm = gradient.norm() / workers
        gradient *= min(1.0, limit / (norm.item() + 1e-6)) / workers
        return bool(norm.isfinite())


def copy_parameters(module):
    """Gives every worker the first worker's parameters."""
    for parameter in module.parameters():
        torch.distributed.broadcast(parameter.data, src=0)
