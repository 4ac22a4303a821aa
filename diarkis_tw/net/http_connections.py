"""
Connections of Twisted's HTTP client, without its log lines.
"""

from twisted.web.client import HTTPConnectionPool, _HTTP11ClientFactory


class _QuietFactory(_HTTP11ClientFactory):
    noisy = False


class QuietConnections(HTTPConnectionPool):
    """
    A pool that says nothing: Twisted's own logs two lines a connection, at level
    info. It has no public way to name another factory (twisted/web/client.py 26.10).
    """

    _factory = _QuietFactory
