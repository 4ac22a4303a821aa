"""
Tests of L{diarkis_tw.cloud.public_host}.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.cloud.public_host import is_public_host, narrowness


class PublicHostTests(SynchronousTestCase):
    """
    What may be announced.
    """

    def test_hosts(self):
        """
        Full host names and addresses of one machine.
        """
        for host in ("198.51.100.7", "2001:db8::7", "a.example", "ec2-1.cn-north-1.aws.example"):
            self.assertTrue(is_public_host(host), host)

    def test_labs(self):
        """
        Private addresses and loopback may be: labs are made of them.
        """
        for host in ("10.0.0.1", "127.0.0.1", "::1", "fd00::1"):
            self.assertTrue(is_public_host(host), host)

    def test_none(self):
        """
        Anything else may not.
        """
        for text in (
            "",
            "localhost",
            "unknown",
            "0.0.0.0",
            "::",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
            "169.254.169.254",
            "fe80::1",
            "2001:db8::1%eth0",
            "198.51.100.7/32",
            "198.51.100.7:80",
            "[2001:db8::7]",
            "1.2.3",
            "1.2.3.256",
            "a_b.example",
            "a.example.",
            "http://a.example",
            "a.example b.example",
            "a" * 64 + ".example",
            "\u0661.\u0662.\u0663.\u0664",
        ):
            self.assertFalse(is_public_host(text), text)

    def test_narrowness(self):
        """
        Addresses that not everybody reaches are told from those that everybody does.
        """
        for host, part in (
            ("127.0.0.1", "this machine"),
            ("::1", "this machine"),
            ("10.0.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.1", "private"),
            ("fd00::1", "private"),
            ("100.64.0.1", "carrier"),
        ):
            self.assertIn(part, str(narrowness(host)))
        for host in ("198.51.100.7", "172.32.0.1", "2001:db8::7", "a.example"):
            self.assertIsNone(narrowness(host))
