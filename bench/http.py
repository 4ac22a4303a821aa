"""
The server's own part of an HTTP request, without sockets: a route of an
application that answers with JSON, above the same on bare twisted.web.

    python -m bench.http
"""

import argparse
import json
import time
from typing import cast

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from bench.figures import machine, spread
from diarkis_tw.http.site import JsonSite
from diarkis_tw.server import Server

REQUEST = b"GET /hello/alice HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"


class Hello(Resource):
    """
    The floor: path taken apart by twisted.web, JSON by the standard library.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        name = cast("list[bytes]", request.postpath)[-1].decode()
        request.setHeader(b"Content-Type", b"application/json")
        return json.dumps({"hello": name}).encode()


def bare() -> Site:
    """
    Make the floor's site, without a log line a request as ours is.
    """
    root = Resource()
    root.putChild(b"hello", Hello())
    site = Site(root, reactor=MemoryReactorClock())
    site.log = lambda request: None  # type: ignore[method-assign]
    return site


def ours() -> Site:
    """
    Make a whole server and take its site.
    """
    reactor = MemoryReactorClock()
    server = Server(reactor)
    server.setup_as_tcp_server({"port": 1})
    server.setup_as_http_server({"port": 2})
    server.http.get("/hello/:name", lambda request: {"hello": request.params["name"]})
    server.service().startService()
    return next(found[1] for found in reactor.tcpServers if isinstance(found[1], JsonSite))


def measure(site: Site, count: int) -> float:
    """
    Make requests one by one on one connection.

    @return: microseconds of CPU for each.
    """
    channel = cast(Protocol, site.buildProtocol(cast(IAddress, None)))
    transport = StringTransport()
    channel.makeConnection(transport)
    begin = time.process_time()
    for _ in range(count):
        channel.dataReceived(REQUEST)
    took = time.process_time() - begin
    if transport.value().count(b"200 OK") != count:
        raise RuntimeError("a request was not answered")
    return took / count * 1e6


def main() -> None:
    """
    Measure both in turn and print.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="requests a round")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    sites = {"bare twisted.web": bare(), "route of diarkis_tw": ours()}
    found: dict[str, list[float]] = {name: [] for name in sites}
    for _ in range(options.rounds):
        for name, site in sites.items():
            found[name].append(measure(site, options.count))
    print(machine())
    print(f"one GET with a JSON answer, CPU us; median (least-greatest) of {options.rounds} rounds")
    for name, figures in found.items():
        print(f"{name:22}{spread(figures)}")


if __name__ == "__main__":
    main()
