"""
Tests of L{diarkis_tw.cloud.aws}.
"""

from diarkis_tw.cloud.metadata import Found
from tests.cloud.case import CloudCase
from tests.cloud.fakes import PUBLIC, TOKEN, Aws, Reply

HOSTNAME = "/latest/meta-data/public-hostname"
IPV4 = "/latest/meta-data/public-ipv4"
TOKENS = "/latest/api/token"


class AwsTests(CloudCase):
    """
    EC2.
    """

    def setUp(self):
        super().setUp()
        self.aws = self.serve(Aws)

    async def test_hostname(self):
        """
        A token first, then the public host name.
        """
        found = await self.find("AWS", self.aws.base)
        self.assertEqual(
            found, Found("ec2-198-51-100-7.compute-1.amazonaws.com", "public-hostname")
        )
        self.assertEqual(self.aws.asked, [TOKENS, HOSTNAME])
        self.assertEqual(self.aws.requests[0].method, "PUT")
        self.assertEqual(self.aws.requests[1].headers["x-aws-ec2-metadata-token"], TOKEN)

    async def test_address(self):
        """
        Without DNS host names in the VPC, missing or empty, it is the address.
        """
        for hostname in (None, "", "\n"):
            if hostname is None:
                del self.aws.items["public-hostname"]
            else:
                self.aws.items["public-hostname"] = hostname
            self.aws.requests.clear()
            self.assertEqual(await self.find("AWS", self.aws.base), Found(PUBLIC, "public-ipv4"))
            self.assertEqual(self.aws.asked, [TOKENS, HOSTNAME, IPV4])

    async def test_noPublicAddress(self):
        """
        An instance without either is told what it needs.
        """
        self.aws.items.clear()
        await self.refused(
            "AWS", self.aws.base, "has none", "Elastic IP", "DIARKIS_CLOUD_ENV=<host>"
        )

    async def test_version1(self):
        """
        Where the token call does not exist there are no tokens, and none is sent.
        """
        self.aws.needs_token = False
        for status in (404, 405, 501):
            self.aws.instead[TOKENS] = Reply(status)
            self.aws.requests.clear()
            await self.find("AWS", self.aws.base)
            self.assertEqual(self.aws.asked, [TOKENS, HOSTNAME])
            self.assertNotIn("x-aws-ec2-metadata-token", self.aws.requests[1].headers)

    async def test_noVersion1(self):
        """
        A token call that is refused is not got round without a token.
        """
        self.aws.needs_token = False
        for status in (400, 401, 403):
            self.aws.instead[TOKENS] = Reply(status)
            self.aws.requests.clear()
            await self.refused("AWS", self.aws.base, "session token", str(status), "http-endpoint")
            self.assertEqual(self.aws.asked, [TOKENS])

    async def test_oddToken(self):
        """
        What could not be sent back in a header is no token, and is not shown.
        """
        for text in ("a b", "a\r\nX-Evil: 1", "ä", "x" * 1025):
            self.aws.instead[TOKENS] = Reply(200, text)
            error = await self.refused("AWS", self.aws.base, "no token")
            self.assertNotIn(text, str(error))
            self.assertEqual(self.aws.asked[-1], TOKENS)

    async def test_itemsRefused(self):
        """
        A status that is neither yes nor no is an error, not a missing name.
        """
        for status in (400, 401, 403):
            self.aws.instead[HOSTNAME] = Reply(status)
            await self.refused("AWS", self.aws.base, "public host name", str(status))
            self.assertEqual(self.aws.asked[-1], HOSTNAME)

    async def test_tokenIsNotNoted(self):
        """
        Nothing that is shown of the requests has the token.
        """
        await self.find("AWS", self.aws.base)
        self.assertEqual(len(self.exchanges), 2)
        self.assertNotIn(TOKEN, repr(self.exchanges))
