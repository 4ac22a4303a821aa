"""
Tests of L{diarkis_tw.net.addresses}.
"""

import socket
import sys

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from diarkis_tw.errors import ConfigError
from diarkis_tw.net.addresses import bind_address


class BindAddressTests(SynchronousTestCase):
    """
    Which address is bound for C{address} and C{nic}.
    """

    def refused(self, nic: str, platform: str = "linux", section: str = "") -> str:
        return str(
            self.assertRaises(
                ConfigError, bind_address, "", nic, platform=platform, section=section
            )
        )

    def linux(self) -> None:
        if sys.platform != "linux":
            raise SkipTest("interfaces are looked up on Linux only")

    def test_neither(self) -> None:
        """
        With neither key it is loopback.
        """
        self.assertEqual(bind_address("", ""), "127.0.0.1")

    def test_address_wins(self) -> None:
        """
        An address is taken as it is, and the interface is not looked up.
        """
        self.assertEqual(bind_address("0.0.0.0", "no such interface"), "0.0.0.0")
        self.assertEqual(bind_address("::1", "eth0", platform="win32"), "::1")

    def test_nic(self) -> None:
        """
        An interface gives its IPv4 address.
        """
        self.linux()
        self.assertEqual(bind_address("", "lo"), "127.0.0.1")

    def test_address_of_nic_can_be_bound(self) -> None:
        """
        What an interface gives is an address of this machine.
        """
        self.linux()
        for _, name in socket.if_nameindex():
            try:
                address = bind_address("", name)
            except ConfigError:
                continue  # no IPv4 address
            with socket.socket() as probe:
                probe.bind((address, 0))

    def test_unknown_nic(self) -> None:
        """
        An unknown interface is refused with those there are.
        """
        self.linux()
        for nic in ("no-such0", "lo\0", "x" * 16, "x" * 10_000, "ä" * 8):
            text = self.refused(nic)
            self.assertIn("no such interface", text)
            self.assertIn("lo (127.0.0.1)", text)
            self.assertIn("or set address", text)

    def test_key_is_named(self) -> None:
        """
        The error names the key with its section.
        """
        self.linux()
        self.assertTrue(self.refused("no-such0", section="TCP").startswith('TCP.nic "no-such0"'))

    def test_other_systems(self) -> None:
        """
        Elsewhere than on Linux an interface is refused with a way out.
        """
        text = self.refused("en0", platform="darwin")
        self.assertIn("Linux only", text)
        self.assertIn("Set address", text)
