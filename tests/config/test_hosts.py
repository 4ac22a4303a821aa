"""
Tests of L{diarkis_tw.config.hosts}.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.hosts import is_bindable, is_host_name, is_loopback, is_wildcard


class HostsTests(SynchronousTestCase):
    """
    What the text of a host means.
    """

    def test_loopback(self) -> None:
        """
        Loopback is 127.0.0.0/8, ::1 and localhost, however written.
        """
        for host in ("127.0.0.1", "127.8.8.8", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"):
            self.assertTrue(is_loopback(host), host)
        self.assertTrue(is_loopback("LocalHost"))
        for host in ("0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "game.example", "", "127.1"):
            self.assertFalse(is_loopback(host), host)

    def test_wildcard(self) -> None:
        """
        A wildcard is what means all interfaces to the system, however written.
        """
        for host in ("0.0.0.0", "::", "0::0", "::ffff:0.0.0.0", ""):
            self.assertTrue(is_wildcard(host), host)
        for host in ("127.0.0.1", "::1", "localhost", "10.0.0.0"):
            self.assertFalse(is_wildcard(host), host)

    def test_bindable(self) -> None:
        """
        A socket binds an IP address or localhost, no name to be resolved.
        """
        for host in ("127.0.0.1", "::", "fe80::1%eth0", "localhost"):
            self.assertTrue(is_bindable(host), host)
        for host in ("game.example", "1.2.3", "127.0.0.1 ", "[::1]", "0"):
            self.assertFalse(is_bindable(host), host)

    def test_host_name(self) -> None:
        """
        A host name has labels of at most 63 characters, 253 in all.
        """
        for name in (
            "localhost",
            "game.example",
            "a-b.c",
            "a" * 63,
            "1.a",
            "xn--bcher-kva.example",
        ):
            self.assertTrue(is_host_name(name), name)
        for name in (
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "a" * 64,
            "1.2.3.256",
            "a b",
            "a:1",
            "ä.de",
        ):
            self.assertFalse(is_host_name(name), name)

    def test_longest_host_name(self) -> None:
        """
        253 characters are a host name, 254 are not.
        """
        name = ".".join(["a" * 49] * 5)[:249]
        self.assertTrue(is_host_name(name + ".abc"))
        self.assertFalse(is_host_name(name + ".abcd"))
