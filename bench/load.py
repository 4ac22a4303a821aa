"""
The load generator: one thread, non-blocking sockets, epoll. In the timed part
it receives, notes the time and sends, and leaves what it can for before and after.
"""

import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from itertools import cycle
from time import perf_counter
from typing import Final

STUCK: Final = 10.0
"""Seconds without any answer after which the run has failed."""


class LoadClient:
    """
    One client of the load.

    @ivar sent: when the unanswered requests were sent, or ought to have been.
    """

    __slots__ = ("sent", "socket")

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.sent: deque[float] = deque()

    def prepare(self, count: int) -> None:
        """
        Do beforehand what can be done of C{count} requests.
        """

    def send(self, now: float) -> None:
        """
        Send one request.
        """
        raise NotImplementedError

    def receive(self) -> int:
        """
        Receive what there is.

        @return: how many answers that completes.
        """
        raise NotImplementedError

    def rest(self) -> None:
        """
        Nothing will be sent for a while.
        """

    def check(self) -> None:
        """
        Look at the answers that were not looked at when they came.

        @raise RuntimeError: one is wrong.
        """


class EchoClient(LoadClient):
    """
    One connection of the load over TCP.

    @ivar answer_size: bytes of each answer.
    @ivar ready: requests made beforehand.
    @ivar answers: what was received since the last look, in pieces.
    """

    __slots__ = ("_judge", "_make", "answer_size", "answers", "missing", "ready")

    def __init__(
        self,
        connection: socket.socket,
        answer_size: int,
        make: Callable[[], bytes],
        judge: Callable[[bytes], None],
    ) -> None:
        """
        @param make: makes the next request.
        @param judge: looks at answers, one behind the other.
        """
        super().__init__(connection)
        self.answer_size = answer_size
        self.missing = answer_size
        self.ready: deque[bytes] = deque()
        self.answers: list[bytes] = []
        self._make = make
        self._judge = judge

    def prepare(self, count: int) -> None:
        """
        Make requests until C{count} are ready.
        """
        make = self._make
        self.ready.extend(make() for _ in range(count - len(self.ready)))

    def send(self, now: float) -> None:
        """
        Send one request, which is 100 bytes: the socket's buffer has room.
        """
        ready = self.ready
        self.sent.append(now)
        self.socket.send(ready.popleft() if ready else self._make())

    def receive(self) -> int:
        """
        Receive and count.
        """
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("the server closed a connection")
        self.answers.append(data)
        self.missing -= len(data)
        count = 0
        while self.missing <= 0:
            self.missing += self.answer_size
            count += 1
        return count

    def check(self) -> None:
        """
        Have all that was received judged.
        """
        answers = b"".join(self.answers)
        self.answers.clear()
        self._judge(answers)


class Load:
    """
    All clients of one server.
    """

    def __init__(self, clients: Sequence[LoadClient]) -> None:
        self.clients = clients
        self._by_fd = {client.socket.fileno(): client for client in clients}
        self._epoll = select.epoll()
        for descriptor in self._by_fd:
            self._epoll.register(descriptor, select.EPOLLIN)

    def close(self) -> None:
        """
        Close all sockets.
        """
        self._epoll.close()
        for client in self.clients:
            client.socket.close()

    def begin(self) -> None:
        """
        Put one request of each client in flight.
        """
        for client in self.clients:
            client.send(perf_counter())

    def closed_loop(self, seconds: float) -> list[float]:
        """
        Answer each answer with the next request.

        @return: round-trip times in seconds.
        """
        times: list[float] = []
        now = perf_counter()
        end = now + seconds
        while now < end:
            now = self._receive(STUCK, times, True)
        return times

    def fixed_rate(self, seconds: float, rate: float) -> list[float]:
        """
        Send C{rate} requests a second, the clients in turn, whether answers come
        or not.

        @return: seconds from when a request was due to its answer, so that a
            late sender hides nothing.
        """
        times: list[float] = []
        clients = cycle(self.clients)
        begin = now = perf_counter()
        for count in range(int(seconds * rate)):
            due = begin + count / rate
            while now < due:
                # An epoll timeout is whole milliseconds, so poll: the core is ours.
                now = self._receive(0, times, False) or perf_counter()
            next(clients).send(due)
        self.drain(times)
        return times

    def drain(self, times: list[float]) -> None:
        """
        Receive the answers to all that was sent.
        """
        while any(client.sent for client in self.clients):
            self._receive(STUCK, times, False)
        for client in self.clients:
            client.rest()

    def _receive(self, timeout: float, times: list[float], again: bool) -> float:
        by_fd = self._by_fd
        now = 0.0
        for descriptor, _ in self._epoll.poll(timeout):
            client = by_fd[descriptor]
            count = client.receive()
            now = perf_counter()
            for _ in range(count):
                times.append(now - client.sent.popleft())
                if again:
                    client.send(now)
        if timeout and not now:
            raise RuntimeError(f"no answer for {timeout} s")
        return now
