"""
Tests of L{diarkis_tw.http.route_resource} and L{diarkis_tw.http.request}: what an
application's handlers get.
"""

import json

from diarkis_tw.http.json_resource import BODY_LIMIT
from diarkis_tw.http.request import QUERY_FIELDS
from diarkis_tw.http.route_resource import SEGMENTS_MOST
from tests.http.case import Answer
from tests.http.route_case import RouteCase


class RequestTests(RouteCase):
    """
    What a handler sees.
    """

    def setUp(self) -> None:
        super().setUp()
        self.routes({"GET /a/:name": self.note, "POST /a": self.note, "PUT /a": self.note})

    def test_path(self) -> None:
        """
        Path and parameters are decoded; an encoded slash stays in its parameter.
        """
        for sent, name in (
            ("alice", "alice"),
            ("a%20b", "a b"),
            ("a+b", "a+b"),
            ("%C3%BC", "ü"),
            ("%2e%2E", ".."),
            ("a%2Fb", "a/b"),
            ("%25", "%"),
            ("%252F", "%2F"),
            ("a;b=c", "a;b=c"),
        ):
            request = self.got(f"/a/{sent}?x=/y")
            self.assertEqual(dict(request.params), {"name": name})
            self.assertEqual((request.method, request.path), ("GET", f"/a/{name}"))
        self.assertEqual(self.got("/%61/x/").path, "/a/x/")

    def test_bad_path(self) -> None:
        """
        A path that cannot be decoded is the client's fault, whether or not it is a route.
        """
        for path in ("/a/%", "/a/%2", "/a/%zz", "/a/%FF", "/%C3%28", "/a/%ED%A0%80"):
            self.assertRefused(self.ask(path), 400, "bad_path")
        self.assertEqual(self.seen, [])

    def test_other_paths(self) -> None:
        """
        What is no route is 404 in JSON, however it is written.
        """
        for path in (
            "/",
            "/b",
            "/a",
            "//a/x",
            "///",
            "/A/x",
            "/a//x",
            "/a/x//",
            "a/x",
            "http://a/a/x",
            "/.",
        ):
            method = "DELETE" if path == "/a" else "GET"
            answer = self.ask(path, method=method)
            if path == "/a":
                self.assertEqual(answer.status, 405)
            else:
                self.assertRefused(answer, 404, "not_found")
        self.assertEqual(self.ask("/a/" + "x" * 8000).status, 200)
        self.assertEqual(self.ask("/" * 8000).status, 404)
        self.assertEqual(self.ask("/x" * 4000).status, 404)

    def test_segments(self) -> None:
        """
        A path of ever so many segments is none, without being taken apart.
        """
        deep = "/:a" + "/x" * (SEGMENTS_MOST - 1)
        self.routes({f"GET {deep}": self.note, f"GET {deep}/x": self.note})
        self.assertEqual(self.ask(deep.replace(":", "")).status, 200)
        self.assertEqual(self.ask(deep.replace(":", "") + "/x").status, 404)

    def test_query(self) -> None:
        """
        The query is decoded, too; a semicolon in it separates nothing.
        """
        query = self.got("/a/x?q=a%20b+c&n=3&tag=a;b&tag=%C3%BC&empty=&bare").query
        self.assertEqual((query["q"], query.get_int("n")), ("a b c", 3))
        self.assertEqual(query.get_all("tag"), ["a;b", "ü"])
        self.assertEqual((query["empty"], query["bare"]), ("", ""))
        self.assertEqual(dict(self.got("/a/x").query), {})
        self.assertEqual(dict(self.got("/a/x?").query), {})

    def test_bad_query(self) -> None:
        """
        A query that is not UTF-8, or an endless one, is refused when it is looked at.
        """
        self.routes({"GET /a": lambda request: dict(request.query)})
        many = "&".join(["a=1"] * (QUERY_FIELDS + 1))
        for query in ("a=%FF", "%FF", many, "&" * 8000):
            self.assertRefused(self.ask(f"/a?{query}"), 400, "bad_query", str(QUERY_FIELDS))

    def test_parameter_errors(self) -> None:
        """
        A parameter that is missing or wrong gets a 400 that names it, without a check in the
        handler.
        """
        self.routes(
            {
                "GET /a/:id": lambda request: {"id": request.params.get_int("id")},
                "GET /b": lambda request: {"page": request.query["page"]},
            }
        )
        self.assertEqual(self.ask("/a/7").json(), {"id": 7})
        self.assertRefused(self.ask("/a/x"), 400, "bad_parameter", "path parameter id")
        self.assertRefused(self.ask("/b"), 400, "bad_parameter", "query parameter page")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_headers(self) -> None:
        """
        Headers are found in any case, Content-Type included.
        """
        headers = {"X-Thing": "one", "Content-Type": "Text/Plain"}
        request = self.got("/a", method="POST", body=b"a", headers=headers)
        self.assertEqual((request.header("x-thing"), request.header("X-THING")), ("one", "one"))
        self.assertEqual((request.header("none"), request.header("none", "x")), ("", "x"))
        self.assertEqual(request.header("content-type"), "Text/Plain")

    def test_address(self) -> None:
        """
        The address is the peer's.
        """
        self.assertEqual(self.got("/a/x").address, "192.168.1.1")

    def test_body(self) -> None:
        """
        The body is there as it came, whatever it says it is.
        """
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "image/png"):
            for method in ("POST", "PUT"):
                request = self.got("/a", method=method, body=b"a=1", headers={"Content-Type": kind})
                self.assertEqual(request.body, b"a=1")
        self.assertEqual(self.got("/a/x").body, b"")


class JsonTests(RouteCase):
    """
    JSON in.
    """

    def setUp(self) -> None:
        super().setUp()
        self.routes({"POST /a": lambda request: {"got": request.json()}})

    def post(self, body: bytes, kind: str = "application/json") -> Answer:
        """
        Post something.
        """
        return self.ask("/a", method="POST", body=body, headers={"Content-Type": kind})

    def test_object(self) -> None:
        """
        A JSON object that says that it is one.
        """
        for kind in ("application/json", "Application/JSON; charset=utf-8"):
            self.assertEqual(self.post(b'{"a": [1]}', kind).json(), {"got": {"a": [1]}})

    def test_bad(self) -> None:
        """
        Anything else is refused.
        """
        deep = b'{"a":' * 9000
        for body in (b"", b"[]", b"1", b"null", b"{", b'{"a": NaN}', b"\xff", b"{}{}", deep):
            self.assertRefused(self.post(body), 400, "bad_body", "JSON object")

    def test_keyTwice(self) -> None:
        """
        A key that an object has twice is refused, at any depth and however it is
        written; colons in texts are none.
        """
        for body in (
            b'{"a": 1, "a": 2}',
            b'{"a": 1, "\\u0061": 1}',
            b'{"a": {"b": 1, "b": 1}}',
            b'{"a": [{"b": 1, "b": 1}], "c": 1}',
            b'{"a": {"b": 1, "b": {}}}',
        ):
            self.assertRefused(self.post(body), 400, "bad_body", "a key twice")
        for value in ({"a": "::"}, {"a:": [{"b": 1}, {"b": 1}], "b": {"a:": 1}}, {}):
            self.assertEqual(self.post(json.dumps(value).encode()).json(), {"got": value})

    def test_declared(self) -> None:
        """
        So is what does not say that it is JSON: a form of another site's page can say only
        other things without asking first.
        """
        for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"):
            answer = self.post(b"{}", kind)
            self.assertRefused(answer, 415, "unsupported_media_type", "application/json")
        answer = self.ask("/a", method="POST", body=b"{}")
        self.assertRefused(answer, 415, "unsupported_media_type")

    def test_size(self) -> None:
        """
        A body above the limit is refused before the handler runs.
        """
        self.assertEqual(self.post(b"{}" + b" " * (BODY_LIMIT - 2)).status, 200)
        self.routes({"POST /a": self.note})
        self.assertRefused(self.post(b" " * (BODY_LIMIT + 1)), 413, "too_large", str(BODY_LIMIT))
        self.assertEqual(self.seen, [])
