"""
Tests of L{diarkis_tw.cloud.gcp}.
"""

from diarkis_tw.cloud.metadata import Found
from tests.cloud.case import CloudCase
from tests.cloud.fakes import PUBLIC, Gcp, Reply, Tencent


class GcpTests(CloudCase):
    """
    Compute Engine.
    """

    def setUp(self):
        super().setUp()
        self.gcp = self.serve(Gcp)

    async def test_address(self):
        """
        It is the external address.
        """
        self.assertEqual(await self.find("GCP", self.gcp.base), Found(PUBLIC, "external-ip"))
        self.assertEqual(len(self.gcp.requests), 1)

    async def test_noExternalAddress(self):
        """
        A node of a private cluster has none, said by 404 or nothing.
        """
        for address in (None, ""):
            self.gcp.external_ip = address
            await self.refused("GCP", self.gcp.base, "has none", "private cluster")

    async def test_otherFlavor(self):
        """
        An answer without Google's header, or with another value, is not believed.
        """
        self.gcp.instead["*"] = Reply(200, PUBLIC, {"Metadata-Flavor": "Microsoft"})
        await self.refused("GCP", self.gcp.base, "Metadata-Flavor: Google", "DIARKIS_CLOUD_ENV")
        other = self.serve(Tencent)
        for reply in (Reply(200, PUBLIC), Reply(404)):
            other.instead["*"] = reply
            await self.refused("GCP", other.base, "lacks the header")

    async def test_forbidden(self):
        """
        A metadata server that is switched off says so.
        """
        self.gcp.instead["*"] = Reply(403)
        await self.refused("GCP", self.gcp.base, "403 Forbidden", "settings of the project")
