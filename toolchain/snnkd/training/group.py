"""The processes that train one network together, each on its device or its share of the cores.

Every process has all weights. It computes its own parts of each batch; what the parts gave then goes to all processes,
and is added up in the order of the parts, whoever computed them: so every bit is the same for any number of processes.
An all-reduce would not do, whose order depends on that number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from snnkd.base.errors import LimitError, MismatchError, SnnkdError

if TYPE_CHECKING:
    Store = dist.TCPStore  # pyright: ignore[reportPrivateImportUsage]  (where processes meet; not every torch has it)

Made = TypeVar("Made")

# The leading process may try teachers, or train an ANN, before the others have anything to do. One that has ended is
# noticed at once by gloo, and by NCCL after this.
_PATIENCE = timedelta(hours=4)


class LostError(SnnkdError):
    """Another process of a training has ended."""


@dataclass(frozen=True)
class Group:
    """`size` processes, of which this one has the number `rank`, and `local` are on this machine.

    All of them call the same methods in the same order. Each method raises LostError where another process has ended.
    """

    rank: int = 0
    size: int = 1
    local: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes the run folder and says how far the training is."""
        return self.rank == 0

    def cores(self, count: int) -> int:
        """Returns this process's share of the `count` cores that a process alone would use here."""
        return max(1, count // self.local)

    def own(self, count: int) -> range:
        """Returns the numbers of those of `count` parts that this process computes.

        A process that is left without one computes the last one too, so that it knows the shapes of what there is.
        """
        slots = self._slots(count)
        first = min(self.rank * slots, count - 1)
        return range(first, min(first + slots, count))

    def gathered(self, own: Sequence[torch.Tensor], sizes: Sequence[int], dim: int) -> list[torch.Tensor]:
        """Returns what all parts gave, in their order. own: of the parts in `own`. sizes: of all parts, in the
        dimension `dim`; in the others they are equal."""
        if self.size == 1:
            return list(own)
        first = own[0].movedim(dim, 0)
        rows = first.new_zeros(self._slots(len(sizes)), max(sizes), *first.shape[1:])
        for row, values in zip(rows, own, strict=False):
            row[: values.shape[dim]] = values.movedim(dim, 0)
        every = rows.new_empty(self.size * len(rows), *rows.shape[1:])
        with _meeting():
            dist.all_gather_into_tensor(every, rows)
        return [row[:size].movedim(0, dim) for row, size in zip(every, sizes, strict=False)]

    def summed(self, own: Sequence[Sequence[torch.Tensor]], count: int) -> list[torch.Tensor]:
        """Adds up tensors of `count` parts in the order of the parts. own: those of each part in `own`.

        Each process adds up a slice of all tensors, and sends it to the others.
        """
        if self.size == 1:
            return [reduce(torch.add, values) for values in zip(*own, strict=True)]
        lengths = [values.numel() for values in own[0]]
        slots, slice_ = self._slots(count), -(-sum(lengths) // self.size)
        sent = own[0][0].new_zeros(slots, self.size * slice_)
        for row, values in zip(sent, own, strict=False):
            torch.cat([value.reshape(-1) for value in values], out=row[: sum(lengths)])
        # By the process that adds it up, then by part.
        sent = sent.view(slots, self.size, slice_).transpose(0, 1).contiguous()
        received, totals = torch.empty_like(sent), sent.new_empty(self.size * slice_)
        with _meeting():
            dist.all_to_all_single(received, sent)
            dist.all_gather_into_tensor(totals, reduce(torch.add, received.view(-1, slice_)[:count]))
        pieces = totals[: sum(lengths)].split(lengths)
        # In memory as what was added, since sums of them depend on that.
        return [torch.empty_like(like).copy_(piece.view_as(like)) for like, piece in zip(own[0], pieces, strict=True)]

    def spread(self, make: Callable[[np.ndarray], np.ndarray], indices: np.ndarray) -> np.ndarray:
        """Returns make(indices), (N, ...) of indices (N,), of which each process makes its share."""
        if self.size == 1:
            return make(indices)
        shares = np.array_split(indices, min(self.size, len(indices)))
        own = [torch.from_numpy(make(shares[number])) for number in self.own(len(shares))]
        return torch.cat(self.gathered(own, [len(share) for share in shares], 0)).numpy()

    def led(self, make: Callable[[], Made]) -> Made:
        """Returns what `make` returns in the leading process, which alone calls it."""
        if self.size == 1:
            return make()
        shared: list[Any] = [make() if self.leads else None]
        with _meeting():
            dist.broadcast_object_list(shared, 0)
        return shared[0]

    def add(self, totals: Sequence[np.ndarray]) -> None:
        """Adds to each array of int64 those of the other processes, in place."""
        if self.size == 1:
            return
        whole = torch.from_numpy(np.concatenate([array.reshape(-1) for array in totals]))
        with _meeting():
            dist.all_reduce(whole)
        for array, values in zip(totals, whole.split([array.size for array in totals]), strict=True):
            array[...] = values.numpy().reshape(array.shape)

    def check_same(self, what: str, digest: Callable[[], str], advice: str) -> None:
        """Raises MismatchError where the processes' digests of `what` differ."""
        if self.size == 1:
            return
        every = [""] * self.size
        with _meeting():
            dist.all_gather_object(every, digest())
        if other := [rank for rank, found in enumerate(every) if found != every[0]]:
            raise MismatchError(f"process {other[0] + 1} of {self.size}: {what} is not that of process 1; {advice}")

    def _slots(self, count: int) -> int:
        """How many of `count` parts a process computes at most."""
        return -(-count // self.size)


ALONE = Group()


def check(processes: int, device: torch.device) -> None:
    """Raises LimitError where so many processes cannot train together on this machine."""
    if processes > 1 and not dist.is_available():
        raise LimitError(f"--devices {processes}: this torch was built without torch.distributed; train on one")
    if device.type == "cuda" and processes > torch.cuda.device_count():
        raise LimitError(f"--devices {processes}: torch finds {torch.cuda.device_count()} CUDA devices here")


def store(address: str, port: int, serves: bool) -> Store:
    """Opens the place where processes meet; port 0 is any free one of the process that serves it."""
    return dist.TCPStore(address, port, is_master=serves, wait_for_workers=False, timeout=_PATIENCE)  # pyright: ignore


@contextlib.contextmanager
def joined(group: Group, device: torch.device, number: int, met: Store | None) -> Iterator[Group]:
    """Connects the processes of `group` within: by NCCL on CUDA, where this one uses the GPU `number`, else by gloo.

    met: where they meet; None for what torchrun has set. Raises LostError where they do not meet.
    """
    if device.type == "cuda":
        torch.cuda.set_device(number)
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    how: dict[str, Any] = {"init_method": "env://"} if met is None else {"store": met}
    with _meeting():
        dist.init_process_group(backend, rank=group.rank, world_size=group.size, timeout=_PATIENCE, **how)
    try:
        yield group
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _meeting() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what all of torch.distributed's errors are
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise LostError(f"another process of this training has ended, or cannot be reached: {reason}") from error
