# SPDX-License-Identifier: MIT
"""The L3-L2 message queue of Ascend a2a3 machines.

A region is memory shared by two endpoints, L3 and L2. Each endpoint has a producer and a
consumer::

    L3 producer --input-->  L2 consumer
    L3 consumer <--output-- L2 producer

One process creates the region, and hands the other end to another by its descriptor::

    import l3l2q

    with l3l2q.create("memfd", depth=8, input_arena_bytes=4096, output_arena_bytes=4096) as ep:
        with l3l2q.attach(ep.open_peer()) as peer:
            ep.producer.enqueue(b"HAL", timeout=1)
            with peer.consumer.peek(timeout=1) as message:
                print(bytes(message.data))

Calls without "try" in their name block: for ``timeout`` seconds, or without a limit if it
is None. Signals are handled meanwhile, and other threads run. The call of the same name
with "try" returns False, None or nothing instead of waiting.

Each half of an endpoint may be used by one thread at a time; a second one gets BusyError.
Messages are read, and spans written, in place by memoryviews. A view keeps the memory
mapped. ``release``, ``commit`` and ``cancel`` end the view that ``data`` returned, and
raise BufferError while others exist, as bytearray does.

``l3l2q.aio`` has the same for asyncio, ``l3l2q.simpler`` the interfaces of simpler.
"""

from ._errors import (
    Aborted,
    BusyError,
    Closed,
    Error,
    HandleError,
    Interrupted,
    InvalidArgument,
    NotPermitted,
    OwnershipError,
    PeerAborted,
    PeerDetached,
    PeerGone,
    Poisoned,
    ProtocolError,
    Timeout,
    TooLarge,
    Unavailable,
    WrongProcess,
)
from ._types import (
    Binding,
    Compare,
    ErrorKind,
    Event,
    EventFdKind,
    Failure,
    Info,
    Layout,
    Memory,
    NotifyOp,
    Opcode,
    Range,
    Role,
    Stats,
)

try:
    from ._l3l2q import (
        Batch,
        Consumer,
        Endpoint,
        Header,
        Message,
        Producer,
        Received,
        Reservation,
        attach,
        attach_external,
        create,
        recv_fd,
        send_fd,
        version,
    )
except ImportError as error:
    raise ImportError(
        f"l3l2q: the extension module is missing or does not load ({error}). In a source tree "
        "of l3l2q, 'make python' builds it in build/python, and 'pip install "
        "--no-build-isolation ./libuser/python' installs it; both need a C compiler and "
        "Python's headers (Debian: python3-dev)."
    ) from error

__version__ = version

__all__ = [
    "Aborted",
    "Batch",
    "Binding",
    "BusyError",
    "Closed",
    "Compare",
    "Consumer",
    "Endpoint",
    "Error",
    "ErrorKind",
    "Event",
    "EventFdKind",
    "Failure",
    "HandleError",
    "Header",
    "Info",
    "Interrupted",
    "InvalidArgument",
    "Layout",
    "Memory",
    "Message",
    "NotPermitted",
    "NotifyOp",
    "Opcode",
    "OwnershipError",
    "PeerAborted",
    "PeerDetached",
    "PeerGone",
    "Poisoned",
    "Producer",
    "ProtocolError",
    "Range",
    "Received",
    "Reservation",
    "Role",
    "Stats",
    "Timeout",
    "TooLarge",
    "Unavailable",
    "WrongProcess",
    "attach",
    "attach_external",
    "create",
    "recv_fd",
    "send_fd",
    "version",
]
