"""
What nats-py leaves open, and a node cannot.

  - It encrypts if the server wants that, not if the URL does: it would say the password
    in the clear to whoever answers in the server's place.
  - To end a connection it first says what waits, for as long as the other end takes
    nothing; and who waits for room may wait for ever.
  - A frame above what the server takes costs it the connection.
  - asyncio looks up host names in threads which the end of the process waits for, for
    as long as a name server is silent.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import Error

from diarkis_tw.mesh.envelope import FRAME_MAX

P = ParamSpec("P")
T = TypeVar("T")


class StrictClient(Client):
    """
    A client that looks at a server before it says who it is.
    """

    def __init__(self, encrypted: bool) -> None:
        """
        @param encrypted: whether to have nothing to do with a server without TLS.
        """
        super().__init__()
        self._encrypted = encrypted

    def _connect_command(self) -> bytes:
        # nats/aio/client.py, nats-py 2.16: INFO is read, and TLS is on, if it says so.
        info = self._server_info
        if self._encrypted and not info.get("tls_required"):
            raise Error("it does not require TLS, and tls:// or mesh.tlsCa does")
        most = info.get("max_payload", FRAME_MAX)
        if most < FRAME_MAX:
            raise Error(f"its max_payload is {most} bytes, and nodes need {FRAME_MAX}")
        return super()._connect_command()

    async def _process_op_err(self, e: Exception) -> None:
        # The connection is lost, or the server has not answered pings.
        self.abort()
        await super()._process_op_err(e)

    def abort(self) -> None:
        """
        Cut the connection, and say nothing more.
        """
        self._pending = []
        self._pending_data_size = 0
        if isinstance(self._transport, TcpTransport) and self._transport._io_writer is not None:
            self._transport._io_writer.transport.abort()


class DaemonThreads(ThreadPoolExecutor):
    """
    A thread for each piece of work, which nobody waits for.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # whoever waits for it gets it
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="mesh names", daemon=True).start()
        return future
