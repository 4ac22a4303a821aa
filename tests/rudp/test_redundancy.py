"""
Tests of L{diarkis_tw.rudp.redundancy}.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.rudp.channel import ReliableFrame, SendChannel
from diarkis_tw.rudp.redundancy import REST, SIZE_MOST, TRIAL, Redundancy

NOW = 1_000_000


class RedundancyTests(SynchronousTestCase):
    """
    L{Redundancy}.
    """

    def setUp(self) -> None:
        self.redundancy = Redundancy()
        self.channel = SendChannel(0, 256)
        self.saved = 0

    def sent(self, size: int = 64) -> ReliableFrame:
        """
        A new frame is sent.
        """
        frame = ReliableFrame(self.channel, 0, bytes(size))
        self.redundancy.sent(frame)
        return frame

    def pick(
        self, loss: float = 0.05, now: int = NOW, beside: tuple[ReliableFrame, ...] = ()
    ) -> ReliableFrame | None:
        """
        Ask for a frame with 1000 bytes of space.
        """
        return self.redundancy.pick(loss, self.saved, now, beside, 1000)

    def test_onceMore(self) -> None:
        """
        A frame rides again once, not in the packet that it is in.
        """
        frame = self.sent()
        self.assertIsNone(self.pick(beside=(frame,)))
        self.assertIs(self.pick(), frame)
        self.assertIsNone(self.pick())

    def test_twice(self) -> None:
        """
        From 10 % loss on it rides again twice.
        """
        self.sent()
        picks = [self.pick(0.10) is not None for _ in range(3)]
        self.assertEqual(picks, [True, True, False])

    def test_littleLoss(self) -> None:
        """
        Up to 1 % of loss nothing rides again.
        """
        self.sent()
        self.assertIsNone(self.pick(0.01))

    def test_acknowledged(self) -> None:
        """
        What has arrived does not ride again.
        """
        self.sent().acked = True
        self.assertIsNone(self.pick())

    def test_size(self) -> None:
        """
        A frame above 256 bytes, or without space, does not.
        """
        self.sent(SIZE_MOST + 1)
        self.assertIsNone(self.pick())
        self.sent(SIZE_MOST)
        self.assertIsNone(self.redundancy.pick(0.05, 0, NOW, (), SIZE_MOST - 1))
        self.assertIsNotNone(self.pick())

    def trial(self, worth: float, loss: float = 0.05) -> bool:
        """
        Let copies ride of which a share saves a retransmission.

        @return: whether they go on then.
        """
        for number in range(TRIAL):
            self.sent()
            self.assertIsNotNone(self.pick(loss))
            self.saved += int((number + 1) * worth) - int(number * worth)
        self.sent()
        return self.pick(loss) is not None

    def test_pays(self) -> None:
        """
        While copies save what the loss makes one expect they go on.
        """
        for _ in range(4):
            self.assertTrue(self.trial(0.05))

    def test_doesNotPay(self) -> None:
        """
        Copies that save nothing, as in bursts, rest for ten seconds and are tried again.
        """
        self.assertTrue(self.trial(0.05))
        self.assertFalse(self.trial(0))
        self.assertIsNone(self.pick(now=NOW + REST - 1))
        self.sent()
        self.assertIsNotNone(self.pick(now=NOW + REST))
