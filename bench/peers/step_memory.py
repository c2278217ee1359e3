# SPDX-License-Identifier: Apache-2.0
"""Bytes that a training step must keep, read from the step itself: what autograd saves for the backward pass, and what
lives from step to step. Storages count once, however many tensors look at them."""
import torch


def storage_of(tensor):
    """Address and size of the memory behind a tensor."""
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
    return storage.data_ptr(), storage.nbytes()


class Storages:
    """A set of storages. It holds their tensors, so that no address is used twice while it counts."""

    def __init__(self, tensors=()):
        self.tensors, self.sizes = [], {}
        for tensor in tensors:
            self.add(tensor)

    def add(self, tensor):
        address, size = storage_of(tensor)
        if address not in self.sizes:
            self.tensors.append(tensor.detach())
            self.sizes[address] = size

    def holds(self, tensor):
        return storage_of(tensor)[0] in self.sizes

    def bytes(self):
        return sum(self.sizes.values())


def measure(model, optimizer, inputs, forward, backward):
    """Bytes by kind for one step. forward() returns the loss; backward(loss) makes the gradients and the update."""
    parameters, buffers = Storages(model.parameters()), Storages(model.buffers())
    images = Storages(inputs)
    saved = Storages()

    def pack(tensor):
        if not any(kind.holds(tensor) for kind in (parameters, buffers, images)):
            saved.add(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = forward()
    # Read before the backward pass, and let go of, so that the step runs as it does without this.
    result = {"saved_for_backward": saved.bytes(), "parameters": parameters.bytes()}
    del saved.tensors[:]
    backward(loss)
    result["gradients"] = Storages(p.grad for p in model.parameters()).bytes()
    momenta = (optimizer.state[p]["momentum_buffer"] for p in model.parameters())
    result["momenta"] = Storages(momenta).bytes()
    result["input"] = images.bytes()
    result["total"] = sum(result.values())
    # Running statistics; not in the total, which is about what every variant must have.
    result["buffers"] = buffers.bytes()
    return result
