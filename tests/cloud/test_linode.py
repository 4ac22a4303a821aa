"""
Tests of L{diarkis_tw.cloud.linode}.
"""

from diarkis_tw.cloud.metadata import Found
from tests.cloud.case import CloudCase
from tests.cloud.fakes import PUBLIC, Linode, Reply


class LinodeTests(CloudCase):
    """
    Linode.
    """

    def setUp(self):
        super().setUp()
        self.linode = self.serve(Linode)

    async def test_address(self):
        """
        The first public address, without the size of its network.
        """
        self.assertEqual(await self.find("LINODE", self.linode.base), Found(PUBLIC, "ipv4.public"))
        self.assertEqual(self.linode.asked, ["/v1/token", "/v1/network"])

    async def test_none(self):
        """
        A machine with private addresses only is told so.
        """
        self.linode.public = []
        await self.refused("LINODE", self.linode.base, "no public IPv4 address")

    async def test_noService(self):
        """
        In a region without the service that is said.
        """
        for path in ("/v1/token", "/v1/network"):
            for reply, part in ((Reply(404), "404 Not Found"), (Reply(200, ""), "was empty")):
                self.linode.instead = {path: reply}
                await self.refused("LINODE", self.linode.base, part, "Not every region")

    async def test_oddDocument(self):
        """
        What is not the document is refused.
        """
        for text in ("{", "ipv4.public: 198.51.100.7", '{"ipv4": {"public": "198.51.100.7"}}'):
            self.linode.instead = {"/v1/network": Reply(200, text)}
            await self.refused("LINODE", self.linode.base, "the network", "not the document")

    async def test_oddAddress(self):
        """
        Addresses of the document are checked.
        """
        self.linode.public = ["192.0.2.256/32"]
        await self.refused("LINODE", self.linode.base, '"192.0.2.256" is no host name')
