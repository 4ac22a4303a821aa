"""
Tests of L{diarkis_tw.cloud.azure}.
"""

from diarkis_tw.cloud.metadata import Found
from tests.cloud.case import CloudCase
from tests.cloud.fakes import PRIVATE, PUBLIC, Azure, Reply

FOLDER = "/metadata/instance/network/interface/0/ipv4/ipAddress/0"
BALANCER = "/metadata/loadbalancer"


class AzureTests(CloudCase):
    """
    Azure.
    """

    def setUp(self):
        super().setUp()
        self.azure = self.serve(Azure)

    async def test_instance(self):
        """
        An address of the Basic SKU is the instance's own.
        """
        self.assertEqual(
            await self.find("AZURE", self.azure.base), Found(PUBLIC, "publicIpAddress")
        )
        (request,) = self.azure.requests
        self.assertEqual(request.query, {"api-version": "2021-02-01", "format": "text"})

    async def test_standard(self):
        """
        One of the Standard SKU is found by the private address, whichever order they
        have, and whether the instance's own is empty or missing.
        """
        self.azure.public = ""
        self.azure.load_balancer = [("192.0.2.1", "10.1.0.40"), ("192.0.2.2", PRIVATE)]
        expected = Found("192.0.2.2", "loadbalancer publicIpAddresses")
        self.assertEqual(await self.find("AZURE", self.azure.base), expected)
        self.assertEqual(
            self.azure.asked,
            [f"{FOLDER}/publicIpAddress", f"{FOLDER}/privateIpAddress", BALANCER],
        )
        self.azure.instead[f"{FOLDER}/publicIpAddress"] = Reply(404)
        self.assertEqual(await self.find("AZURE", self.azure.base), expected)

    async def test_noPublicAddress(self):
        """
        Without a document, without an entry, and with those of other machines only there
        is none. The front end of a rule is not this machine's.
        """
        self.azure.public = ""
        for addresses in (None, [], [("192.0.2.1", "10.1.0.40")]):
            self.azure.load_balancer = addresses
            await self.refused("AZURE", self.azure.base, "this machine has none", "Standard SKU")

    async def test_oddDocument(self):
        """
        What is not the document is refused with what is odd about it.
        """
        self.azure.public = ""
        for text in ("{", "[]", "{}", '{"loadbalancer": {"publicIpAddresses": 1}}', "[" * 100_000):
            self.azure.instead[BALANCER] = Reply(200, text)
            await self.refused("AZURE", self.azure.base, "load balancer", "not the document")

    async def test_oddAddress(self):
        """
        Addresses of the document are checked, too.
        """
        self.azure.public = ""
        self.azure.load_balancer = [("", PRIVATE)]
        await self.refused("AZURE", self.azure.base, '"" is no host name')

    async def test_refused(self):
        """
        A refusal of any of the three is named by its step.
        """
        self.azure.public = ""
        for path, step in (
            (f"{FOLDER}/publicIpAddress", "the public address"),
            (f"{FOLDER}/privateIpAddress", "the private address"),
            (BALANCER, "the load balancer"),
        ):
            self.azure.instead = {path: Reply(400)}
            await self.refused("AZURE", self.azure.base, step, "400 Bad Request", "primary")
