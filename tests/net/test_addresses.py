"""
Tests of L{diarkis_tw.net.addresses}.
"""

import socket
import sys
from ipaddress import IPv6Address

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from diarkis_tw.errors import ConfigError
from diarkis_tw.net import addresses
from diarkis_tw.net.addresses import bind_address, ipv6_addresses


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
            self.assertIn("there is no such interface", text)
            self.assertRegex(text, r"Set nic to one of .*lo \(127\.0\.0\.1[,)]")
            self.assertIn("or set address", text)

    def test_key_is_named(self) -> None:
        """
        The error names the key with its section.
        """
        self.linux()
        self.assertTrue(self.refused("no-such0", section="TCP").startswith('TCP.nic "no-such0"'))

    def test_ipv6(self) -> None:
        """
        An interface without an IPv4 address gives its IPv6 address; one without any is
        refused.
        """
        self.linux()
        self.patch(addresses, "_ipv4_addresses", lambda name: [])
        self.assertEqual(bind_address("", "lo"), "::1")
        self.patch(addresses, "ipv6_addresses", lambda table: {})
        self.assertIn("this interface has no address", self.refused("lo"))

    def test_other_systems(self) -> None:
        """
        Elsewhere than on Linux an interface is refused with a way out.
        """
        text = self.refused("en0", platform="darwin")
        self.assertIn("Linux only", text)
        self.assertIn("Set address", text)


def line(address: str, scope: int, flags: int, name: str) -> str:
    """
    A line of the system's table.
    """
    return f"{IPv6Address(address).packed.hex()} 02 40 {scope:02x} {flags:02x} {name:>8}\n"


class Ipv6TableTests(SynchronousTestCase):
    """
    C{/proc/net/if_inet6}.
    """

    def test_order(self) -> None:
        """
        Permanent addresses come before temporary ones, in the system's order otherwise.
        """
        table = (
            line("::1", 0x10, 0x80, "lo")
            + line("2001:db8::1", 0, 0x01, "eth0")
            + line("2001:db8::2", 0, 0x00, "eth0")
            + line("fd00::3", 0, 0x80, "eth0")
            + line("2001:db8::4", 0, 0x80, "wlan0")
        )
        self.assertEqual(
            ipv6_addresses(table),
            {
                "lo": ["::1"],
                "eth0": ["2001:db8::2", "fd00::3", "2001:db8::1"],
                "wlan0": ["2001:db8::4"],
            },
        )

    def test_unusable(self) -> None:
        """
        What cannot be bound, or not by its digits alone, is left out.
        """
        table = (
            line("fe80::1", 0x20, 0x80, "eth0")
            + line("2001:db8::1", 0, 0x40, "eth0")
            + line("2001:db8::2", 0, 0x20, "eth0")
            + line("2001:db8::3", 0, 0x08, "eth0")
        )
        self.assertEqual(ipv6_addresses(table), {})
        self.assertEqual(ipv6_addresses(""), {})

    def test_bindable(self) -> None:
        """
        What this machine's own table gives can be bound.
        """
        if not addresses._IPV6_TABLE.exists():
            raise SkipTest("there is no such table here")
        for found in ipv6_addresses(addresses._IPV6_TABLE.read_text()).values():
            for address in found:
                with socket.socket(socket.AF_INET6) as probe:
                    probe.bind((address, 0))
