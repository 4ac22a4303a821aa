"""
Deprecated parts of the server's API: they work, and warn.
"""

import warnings
from collections.abc import Callable

from diarkis_tw.constants import ServerType
from diarkis_tw.core.user import User
from diarkis_tw.errors import LocalProtocolError, RegistrationError
from tests.server.whole import WholeCase


class DeprecatedTests(WholeCase):
    """
    C{command} and C{send_pm}.
    """

    def warned(self, function: Callable[..., object], *arguments: object) -> str:
        """
        Call it.

        @return: the one warning, which names the line that called.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            function(*arguments)
        [warning] = caught
        self.assertIs(warning.category, DeprecationWarning)
        self.assertEqual(warning.filename.removesuffix("c"), __file__)
        return str(warning.message)

    def test_command(self) -> None:
        """
        A handler of the older form runs; registering it warns and names the newer one.
        """

        def old(user: User, next_: Callable[[], None]) -> None:
            assert user.request is not None
            body = user.request.body
            assert isinstance(body, bytes)
            user.server_respond(body[::-1], 2, 30)
            next_()

        text = self.warned(self.prepare().command, 2, 30, old)
        self.assertIn("handle_command", text)
        self.assertTrue(self.server.is_command_duplicate(2, 30))
        self.start()
        asking = self.client().request(2, 30, b"abc")
        self.reactor.advance(1)
        self.assertEqual(self.successResultOf(asking), b"cba")

    def test_send_pm(self) -> None:
        """
        One user's message reaches another one as a push; sending it warns.
        """
        self.serve()
        self.client()
        bob = self.client("bob")
        heard: list[bytes] = []
        bob.on_push(2, 31, heard.append)
        node, sid = self.server.node_address, self.user(bob).sid
        self.assertIn("send_pm", self.warned(self.server.send_pm, node, sid, 2, 31, b"psst"))
        self.reactor.advance(1)
        self.assertEqual(heard, [b"psst"])

    def test_lost(self) -> None:
        """
        Nobody is told of a message for nobody; it is counted.
        """
        self.serve()
        sid = self.user(self.client()).sid
        self.warned(self.server.send_pm, "elsewhere:1", sid, 2, 31, b"")
        self.warned(self.server.send_pm, self.server.node_address, "0" * 32, 2, 31, b"")
        self.assertEqual(self.server._private_messages.dropped, 2)

    def test_wrong(self) -> None:
        """
        Wrong arguments are typed errors.
        """
        self.prepare()
        for function, arguments, error in (
            (self.server.command, (1, 2, lambda user: None), RegistrationError),
            (self.server.command, (2, 2, lambda: None), RegistrationError),
            (self.server.send_pm, ("local", "no sid", 2, 2, b""), LocalProtocolError),
            (self.server.send_pm, ("local", "0" * 32, 2, 2, "text"), LocalProtocolError),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.assertRaises(error, function, *arguments)


class UdpDeprecatedTests(DeprecatedTests):
    """
    The same over UDP.
    """

    kind = ServerType.UDP


class WsDeprecatedTests(DeprecatedTests):
    """
    The same over WebSocket.
    """

    kind = ServerType.WS
