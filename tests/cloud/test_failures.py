"""
Failures that are the same on all clouds, over real sockets.
"""

import os
import socket

from diarkis_tw.cloud.exchange import BODY_MAX_BYTES
from diarkis_tw.cloud.metadata import Found
from diarkis_tw.cloud.sources import CLOUDS, what_is_my_ip
from diarkis_tw.config import environment
from tests.cloud.case import CloudCase
from tests.cloud.fakes import FAKES, PUBLIC, Reply, WhatIsMyIp


class EveryCloudTests(CloudCase):
    """
    Each cloud in turn.
    """

    def test_names(self):
        """
        There is a source for every word of C{DIARKIS_CLOUD_ENV}, and a fake to try it.
        """
        self.assertEqual(set(CLOUDS), set(environment.CLOUDS))
        self.assertEqual(set(CLOUDS), set(FAKES))
        self.assertEqual([source.name for source in CLOUDS.values()], list(CLOUDS))

    async def test_nobodyThere(self):
        """
        A refused connection ends the look-up at once, with a way out.
        """
        with socket.socket() as taken:  # bound, and nobody listens
            taken.bind(("127.0.0.1", 0))
            base = f"http://127.0.0.1:{taken.getsockname()[1]}"
            for cloud in CLOUDS:
                self.exchanges.clear()
                await self.refused(
                    cloud, base, "connection refused", base, "DIARKIS_CLOUD_ENV=<host>"
                )
                self.assertEqual([e.outcome for e in self.exchanges], ["connection refused"])

    async def test_refusals(self):
        """
        400, 401, 403 and 404 for everything are errors that say what to do, and are not
        tried again.
        """
        for cloud, fake_class in FAKES.items():
            fake = self.serve(fake_class)
            for status in (400, 401, 403, 404):
                fake.instead["*"] = Reply(status)
                fake.requests.clear()
                error = await self.refused(cloud, fake.base)
                self.assertGreater(len(error.remedy), 20)
                if status != 404:
                    self.assertIn(str(status), error.problem)
                paths = fake.asked
                self.assertEqual(len(paths), len(set(paths)), f"{cloud}: {paths}")

    async def test_empty(self):
        """
        An empty body is no address.
        """
        for cloud, fake_class in FAKES.items():
            fake = self.serve(fake_class)
            for text in ("", " \r\n\t"):
                fake.instead["*"] = Reply(200, text)
                await self.refused(cloud, fake.base)

    async def test_garbage(self):
        """
        What is no address that clients could connect to is never announced.
        """
        for cloud, fake_class in FAKES.items():
            fake = self.serve(fake_class)
            for text in ("<html>Log in to the hotel's network</html>", "0.0.0.0", "localhost", "☃"):
                fake.instead["*"] = Reply(200, text)
                await self.refused(cloud, fake.base)

    async def test_redirect(self):
        """
        A redirect is an error, and whom it leads to is not asked.
        """
        for cloud, fake_class in FAKES.items():
            fake, elsewhere = self.serve(fake_class), self.serve(fake_class)
            for status in (301, 302, 303, 307, 308):
                fake.instead["*"] = Reply(status, "", {"Location": f"{elsewhere.base}/"})
                await self.refused(cloud, fake.base, "redirect")
            self.assertEqual(elsewhere.requests, [])
            self.assertEqual(len(fake.requests), 5)

    async def test_tooLong(self):
        """
        A body without end is cut off.
        """
        for cloud, fake_class in FAKES.items():
            fake = self.serve(fake_class)
            fake.instead["*"] = Reply(200, "1" * (BODY_MAX_BYTES + 1))
            await self.refused(cloud, fake.base, f"more than {BODY_MAX_BYTES} bytes")

    async def test_noHttp(self):
        """
        Somebody else's protocol is an error.
        """
        fake = self.serve(WhatIsMyIp)
        fake._http.RequestHandlerClass = _Ssh
        await self.refused("AWS", fake.base, "not HTTP")

    async def test_whiteSpace(self):
        """
        White space around an address does not matter.
        """
        for cloud in ("AWS", "GCP", "AZURE", "ALIBABA", "TENCENT"):
            fake = self.serve(FAKES[cloud])
            fake.instead["*"] = Reply(200, f" {PUBLIC}\r\n")
            if cloud in ("AWS", "ALIBABA"):
                fake.instead["/latest/api/token"] = Reply(404)
            self.assertEqual((await self.find(cloud, fake.base)).host, PUBLIC)

    async def test_ipv6(self):
        """
        An IPv6 address is an address.
        """
        for cloud in ("GCP", "AZURE", "TENCENT"):
            fake = self.serve(FAKES[cloud])
            fake.instead["*"] = Reply(200, "2001:db8::7")
            self.assertEqual((await self.find(cloud, fake.base)).host, "2001:db8::7")

    async def test_noProxy(self):
        """
        A proxy in the environment is not used.
        """
        with socket.socket() as proxy:
            proxy.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
            names = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy")
            self.patch(os, "environ", {**os.environ, **dict.fromkeys(names, url)})
            for cloud, fake_class in FAKES.items():
                await self.find(cloud, self.serve(fake_class).base)

    async def test_throttled(self):
        """
        Who is throttled asks again, and what the later answer says counts.
        """
        for cloud, fake_class in FAKES.items():
            fake = self.serve(fake_class)
            once = Once(Reply(429))
            fake.instead = once
            await self.find(cloud, fake.base)
            self.assertEqual(once.left, [])


class Once(dict):
    """
    Replies for the first requests, whatever they are.
    """

    def __init__(self, *replies):
        super().__init__()
        self.left = list(replies)

    def get(self, path, default=None):
        return self.left.pop(0) if path == "*" and self.left else None


class _Ssh:
    def __init__(self, connection, address, server):
        connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


class WhatIsMyIpTests(CloudCase):
    """
    Services that tell the address of outgoing connections.
    """

    async def test_address(self):
        """
        The URL of the configuration is asked, as it is.
        """
        service = self.serve(WhatIsMyIp)
        url = f"{service.base}/ip?format=text"
        self.assertEqual(await self.find(what_is_my_ip(url), None), Found(PUBLIC, url))
        self.assertEqual([request.target for request in service.requests], ["/ip?format=text"])

    async def test_base(self):
        """
        C{DIARKIS_METADATA_BASE} stands in for these services too, with the same path.
        """
        service = self.serve(WhatIsMyIp)
        for url, target in (
            ("https://service.example/a/b?c=d", "/a/b?c=d"),
            ("https://service.example", "/"),
            ("", "/"),
        ):
            await self.find(what_is_my_ip(url), service.base)
            self.assertEqual(service.requests[-1].target, target)

    async def test_failures(self):
        """
        Errors name the key to correct.
        """
        service = self.serve(WhatIsMyIp)
        source = what_is_my_ip(f"{service.base}/ip")
        for reply in (Reply(404), Reply(403), Reply(200, ""), Reply(200, "<html>")):
            service.instead["*"] = reply
            await self.refused(source, None, "node.publicAddressUrl")
        await self.refused(what_is_my_ip("http://[x/"), None, "node.publicAddressUrl")
