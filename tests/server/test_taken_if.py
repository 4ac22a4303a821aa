"""
Tests of L{diarkis_tw.server.taken_if}, in a whole server.
"""

from collections.abc import Awaitable

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.settings import Settings, TcpSettings
from diarkis_tw.constants import NodeState
from diarkis_tw.errors import RegistrationError
from diarkis_tw.server import Server


class TakenIfTests(SynchronousTestCase):
    """
    A predicate that answers what the test says.

    @ivar answer: what it returns or raises.
    @ivar asked: how often it was asked.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.server = Server(self.reactor, Settings(tcp=TcpSettings()))
        self.service = self.server.service()
        self.answer: object = False
        self.asked = 0

    def predicate(self) -> object:
        """
        Answer.
        """
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def start(self) -> None:
        """
        Start with the predicate.
        """
        self.server.mark_server_as_taken_if(self.predicate)  # type: ignore[arg-type]
        self.service.startService()

    def after(self, seconds: float, answer: object) -> NodeState:
        """
        The state after a time in which the predicate answers that.
        """
        self.answer = answer
        self.reactor.pump([0.5] * round(seconds / 0.5))
        return self.server.state

    def test_period(self) -> None:
        """
        It is asked every 2 seconds, first 2 seconds after the start.
        """
        self.start()
        self.after(1.5, False)
        self.assertEqual(self.asked, 0)
        self.after(0.5, False)
        self.assertEqual(self.asked, 1)
        self.after(20, False)
        self.assertEqual(self.asked, 11)

    def test_states(self) -> None:
        """
        True is TAKEN, false is ONLINE again.
        """
        self.start()
        self.assertIs(self.server.state, NodeState.ONLINE)
        self.assertIs(self.after(2, True), NodeState.TAKEN)
        self.assertIs(self.after(2, True), NodeState.TAKEN)
        self.assertIs(self.after(2, False), NodeState.ONLINE)

    def test_overrides(self) -> None:
        """
        It overrules what was said by hand.
        """
        self.start()
        self.server.taken()
        self.assertIs(self.after(2, False), NodeState.ONLINE)
        self.after(2, True)
        self.server.online()
        self.assertIs(self.after(2, True), NodeState.TAKEN)

    def test_offline(self) -> None:
        """
        While the node is OFFLINE it is not even asked; afterwards it is again.
        """
        self.start()
        self.server.offline()
        self.assertIs(self.after(10, True), NodeState.OFFLINE)
        self.assertEqual(self.asked, 0)
        self.server.online()
        self.assertIs(self.after(2, True), NodeState.TAKEN)

    def test_starting(self) -> None:
        """
        A node that has not started yet keeps the state it was asked to start in.
        """
        waiting: Deferred[None] = Deferred()
        self.server.on_ready(lambda: waiting)
        self.server.offline()
        self.start()
        self.assertIs(self.after(10, False), NodeState.STARTING)
        waiting.callback(None)
        self.assertIs(self.after(10, False), NodeState.OFFLINE)

    def test_failing(self) -> None:
        """
        One that fails is logged and changes nothing, each time, and is asked again.
        """
        self.start()
        self.after(2, True)
        self.assertIs(self.after(4, ZeroDivisionError()), NodeState.TAKEN)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertIs(self.after(2, False), NodeState.ONLINE)

    def test_no_truth(self) -> None:
        """
        An answer that is neither true nor false, such as a forgotten return, is a failure too.
        """
        self.start()
        self.after(2, True)
        for answer in (None, 0, "no"):
            self.assertIs(self.after(2, answer), NodeState.TAKEN)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 3)

    def test_asynchronous(self) -> None:
        """
        It may answer later, and is not asked again before.
        """
        answer: Deferred[bool] = Deferred()
        self.start()
        self.after(10, answer)
        self.assertEqual((self.asked, self.server.state), (1, NodeState.ONLINE))
        answer.callback(True)
        self.assertIs(self.server.state, NodeState.TAKEN)
        self.assertIs(self.after(2, False), NodeState.ONLINE)

    def test_coroutine(self) -> None:
        """
        It may be a coroutine function.
        """

        async def full() -> bool:
            return await self.coming

        self.coming: Awaitable[bool] = Deferred()
        self.server.mark_server_as_taken_if(full)
        self.service.startService()
        self.after(2, None)
        assert isinstance(self.coming, Deferred)
        self.coming.callback(True)
        self.assertIs(self.server.state, NodeState.TAKEN)

    def test_late_answer(self) -> None:
        """
        An answer that comes when the node is OFFLINE is ignored, and so is a late failure's effect.
        """
        answer: Deferred[bool] = Deferred()
        self.start()
        self.after(2, answer)
        self.server.offline()
        answer.callback(False)
        self.assertIs(self.server.state, NodeState.OFFLINE)

    def test_ends(self) -> None:
        """
        It is not asked any more once the node ends, and what it still says does not bring it back.
        """
        answer: Deferred[bool] = Deferred()
        self.start()
        self.after(2, answer)
        self.service.terminate()
        answer.callback(False)
        self.assertIs(self.after(10, False), NodeState.OFFLINE)
        self.assertEqual(self.asked, 1)

    def test_while_running(self) -> None:
        """
        It may be given while the node serves.
        """
        self.service.startService()
        self.after(3, False)
        self.server.mark_server_as_taken_if(lambda: True)
        self.assertIs(self.after(1, False), NodeState.TAKEN)

    def test_wrong(self) -> None:
        """
        What is no function, and a second predicate, are refused with a sentence.
        """
        for wrong in (True, None, "full"):
            error = self.assertRaises(RegistrationError, self.server.mark_server_as_taken_if, wrong)
            self.assertIn(repr(wrong), str(error))
        self.server.mark_server_as_taken_if(lambda: True)
        error = self.assertRaises(
            RegistrationError, self.server.mark_server_as_taken_if, lambda: False
        )
        self.assertIn("combine", str(error))
