"""
A small metadata server for each cloud, made after that cloud's documentation. They
speak real HTTP, from the standard library's server in a thread of its own.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import cast
from urllib.parse import parse_qs, urlsplit

PUBLIC = "198.51.100.7"
PRIVATE = "10.1.0.4"
TOKEN = "AQAEAFz1-a0token=="


@dataclass(frozen=True)
class Request:
    """
    What was asked. Header names are in lower case.
    """

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """
        Without the query.
        """
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """
        The query's first values.
        """
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    def whole(self, header: str) -> int:
        """
        A header that is a number; 0 if it is none.
        """
        text = self.headers.get(header, "")
        return int(text) if text.isdecimal() else 0


@dataclass(frozen=True)
class Reply:
    """
    What is answered.

    @ivar delay: seconds before it.
    """

    status: int = 200
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0


NOT_FOUND = Reply(404, "<html>404 - Not Found</html>")


class FakeMetadata(ABC):
    """
    A metadata server on a port of 127.0.0.1.

    @ivar instead: replies that take the place of the usual ones, by path; the path
        C{"*"} stands for all.
    @ivar requests: what was asked, in order.
    """

    def __init__(self) -> None:
        self.instead: dict[str, Reply] = {}
        self.requests: list[Request] = []
        self._closing = Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake._serve(self)

            def do_PUT(self) -> None:
                fake._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def base(self) -> str:
        """
        For C{DIARKIS_METADATA_BASE}.
        """
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def asked(self) -> list[str]:
        """
        The paths that were asked for, in order.
        """
        return [request.path for request in self.requests]

    def close(self) -> None:
        """
        Serve no more.
        """
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @abstractmethod
    def reply(self, request: Request) -> Reply:
        """
        Answer as the cloud does.
        """

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(cast(str, handler.command), handler.path, headers)
        self.requests.append(request)
        reply = self.instead.get(request.path) or self.instead.get("*") or self.reply(request)
        end = time.monotonic() + reply.delay
        while time.monotonic() < end and not self._closing.wait(0.01):
            pass
        body = reply.text.encode()
        handler.send_response(reply.status)
        for name, value in {**self.headers(), **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def headers(self) -> dict[str, str]:
        """
        What comes with every answer.
        """
        return {"Content-Type": "text/plain"}


class Aws(FakeMetadata):
    """
    EC2: "How Instance Metadata Service Version 2 works".

    @ivar items: below C{/latest/meta-data/}.
    @ivar has_v2: whether there are tokens at all.
    @ivar needs_token: C{HttpTokens=required}.
    """

    def __init__(self) -> None:
        super().__init__()
        self.items = {
            "public-hostname": "ec2-198-51-100-7.compute-1.amazonaws.com",
            "public-ipv4": PUBLIC,
        }
        self.has_v2 = True
        self.needs_token = True

    def reply(self, request: Request) -> Reply:
        if request.method == "PUT":
            return self._token(request)
        sent = request.headers.get("x-aws-ec2-metadata-token")
        if (sent is None and self.needs_token) or (sent is not None and sent != TOKEN):
            return Reply(401, "<title>401 - Unauthorized</title>")
        item = request.path.removeprefix("/latest/meta-data/")
        return Reply(200, self.items[item]) if item in self.items else NOT_FOUND

    def _token(self, request: Request) -> Reply:
        if request.path != "/latest/api/token" or not self.has_v2:
            return NOT_FOUND
        if "x-forwarded-for" in request.headers:
            return Reply(403, "403 - Forbidden")
        if not 1 <= request.whole("x-aws-ec2-metadata-token-ttl-seconds") <= 21600:
            return Reply(400, "400 - Bad Request")
        return Reply(200, TOKEN)


class Gcp(FakeMetadata):
    """
    Compute Engine: "View and query VM metadata".

    @ivar external_ip: L{None} = there is no access config.
    """

    def __init__(self) -> None:
        super().__init__()
        self.external_ip: str | None = PUBLIC

    def headers(self) -> dict[str, str]:
        return {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}

    def reply(self, request: Request) -> Reply:
        if request.headers.get("metadata-flavor") != "Google" or (
            "x-forwarded-for" in request.headers
        ):
            return Reply(403, "Forbidden")
        interface = "/computeMetadata/v1/instance/network-interfaces/0"
        if request.path == f"{interface}/access-configs/0/external-ip":
            return NOT_FOUND if self.external_ip is None else Reply(200, self.external_ip)
        return NOT_FOUND


class Azure(FakeMetadata):
    """
    Azure: "Azure Instance Metadata Service", "Retrieve load balancer metadata".

    @ivar public: of the Basic SKU; empty otherwise.
    @ivar load_balancer: pairs of front-end and private address; L{None} = no document.
    """

    def __init__(self) -> None:
        super().__init__()
        self.public = PUBLIC
        self.load_balancer: list[tuple[str, str]] | None = None

    def reply(self, request: Request) -> Reply:
        if request.headers.get("metadata") != "true" or "x-forwarded-for" in request.headers:
            return Reply(400, '{"error":"Bad request. Required metadata header not specified"}')
        if not request.query.get("api-version", ""):
            return Reply(400, '{"error":"Bad request. api-version was not specified"}')
        if request.path == "/metadata/loadbalancer":
            return self._load_balancer()
        folder, _, item = request.path.rpartition("/")
        if folder != "/metadata/instance/network/interface/0/ipv4/ipAddress/0":
            return Reply(404, '{"error":"Not found"}')
        if request.query.get("format") != "text":
            return Reply(400, '{"error":"Bad request"}')  # a leaf has no other form
        return Reply(200, {"publicIpAddress": self.public, "privateIpAddress": PRIVATE}[item])

    def _load_balancer(self) -> Reply:
        if self.load_balancer is None:
            return Reply(404, '{"error":"No load balancer metadata is found."}')
        addresses = [
            {"frontendIpAddress": public, "privateIpAddress": private}
            for public, private in self.load_balancer
        ]
        rules = [
            {
                "frontendIpAddress": "192.0.2.99",
                "protocol": "Tcp",
                "frontendPort": 80,
                "backendPort": 80,
                "privateIpAddress": PRIVATE,
            }
        ]
        document = {"publicIpAddresses": addresses, "inboundRules": rules, "outboundRules": []}
        return Reply(200, json.dumps({"loadbalancer": document}))


class Alibaba(FakeMetadata):
    """
    ECS: "Instance metadata".

    @ivar items: below C{/latest/meta-data/}.
    @ivar has_tokens: whether tokens are given.
    @ivar is_hardened: whether they are demanded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.items = {"eipv4": PUBLIC, "public-ipv4": "192.0.2.2"}
        self.has_tokens = True
        self.is_hardened = True

    def reply(self, request: Request) -> Reply:
        if request.method == "PUT":
            lifetime = request.whole("x-aliyun-ecs-metadata-token-ttl-seconds")
            if request.path != "/latest/api/token" or not self.has_tokens:
                return NOT_FOUND
            return Reply(200, TOKEN) if 1 <= lifetime <= 21600 else Reply(400)
        sent = request.headers.get("x-aliyun-ecs-metadata-token")
        if sent != TOKEN and (sent is not None or self.is_hardened):
            return Reply(403, "403 - Forbidden")
        item = request.path.removeprefix("/latest/meta-data/")
        return Reply(200, self.items[item]) if item in self.items else NOT_FOUND


class Tencent(FakeMetadata):
    """
    CVM: "Querying Instance Metadata".

    @ivar items: below C{/latest/meta-data/}.
    """

    def __init__(self) -> None:
        super().__init__()
        self.items = {"public-ipv4": PUBLIC, "local-ipv4": PRIVATE}

    def reply(self, request: Request) -> Reply:
        item = request.path.removeprefix("/latest/meta-data/")
        return Reply(200, self.items[item]) if item in self.items else NOT_FOUND


class Linode(FakeMetadata):
    """
    Linode: "Use the Metadata service API".

    @ivar public: with the suffix of the network's size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.public = [f"{PUBLIC}/32", "198.51.100.8/32"]

    def reply(self, request: Request) -> Reply:
        if (request.method, request.path) == ("PUT", "/v1/token"):
            return (
                Reply(200, TOKEN) if request.whole("metadata-token-expiry-seconds") else Reply(400)
            )
        if request.headers.get("metadata-token") != TOKEN:
            return Reply(401, "unauthorized")
        if request.path != "/v1/network":
            return NOT_FOUND
        if request.headers.get("accept") != "application/json":
            return Reply(200, f"ipv4.public: {' '.join(self.public)}")
        network = {
            "interfaces": [],
            "ipv4": {"public": self.public, "private": [], "shared": []},
            "ipv6": {"slaac": "2001:db8::1/128", "link_local": "fe80::1/128", "ranges": []},
        }
        return Reply(200, json.dumps(network))


class WhatIsMyIp(FakeMetadata):
    """
    A service that answers with the address a request came from.
    """

    def reply(self, request: Request) -> Reply:
        return Reply(200, f"{PUBLIC}\n")


FAKES: dict[str, type[FakeMetadata]] = {
    "AWS": Aws,
    "GCP": Gcp,
    "AZURE": Azure,
    "ALIBABA": Alibaba,
    "TENCENT": Tencent,
    "LINODE": Linode,
}
"""By the values of C{DIARKIS_CLOUD_ENV}."""
