"""
The JavaScript client in a web page, in headless Chromium.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from twisted.trial.unittest import SkipTest

from tests.browser.case import ALL_WELL, UID, WEB, WebCase

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--headless",
    "--no-sandbox",  # it refuses to run as root with one; the page is our own
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

PATIENCE = 60.0
"""Seconds for a browser to start and a page to say its last word."""

TYPES = {".html": "text/html", ".mjs": "text/javascript"}

LISTENER = b"""
<script>
  const said = document.querySelector("pre");
  const tell = () => fetch("/said", { method: "POST", body: said.textContent });
  new MutationObserver(tell).observe(said, { childList: true });
</script>
"""
"""Stands at the end of the page, so that the test knows what it shows."""


class Pages:
    """
    A web server of its own origin with C{examples/web}.

    @ivar origin: as browsers write it.
    @ivar said: what the page shows.
    """

    def __init__(self) -> None:
        self.said = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler)
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """
        Stop serving.
        """
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self, *args: object) -> BaseHTTPRequestHandler:
        return PageHandler(self, *args)


class PageHandler(BaseHTTPRequestHandler):
    """
    One request.
    """

    def __init__(self, pages: Pages, *args: object) -> None:
        self._pages = pages
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """
        A file of the example.
        """
        path = WEB / (urlsplit(self.path).path.strip("/") or "index.html")
        if path.parent != WEB or not path.exists():
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", TYPES[path.suffix])
        self.end_headers()
        self.wfile.write(path.read_bytes() + LISTENER * (path.suffix == ".html"))

    def do_POST(self) -> None:
        """
        What the page shows now.
        """
        said = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._pages.said = max(self._pages.said, said, key=len)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """
        Nothing is logged.
        """


class PageTests(WebCase):
    """
    C{index.html}.
    """

    def setUp(self) -> None:
        found = list(filter(None, map(shutil.which, BROWSERS)))
        if not found:
            raise SkipTest("there is no Chromium; on Debian: apt install chromium")
        self._browser = found[0]
        super().setUp()
        self.pages = Pages()
        self.addCleanup(self.pages.close)

    def browse(self, api: str, *flags: str) -> str:
        """
        Look at the page until it has said its last word.

        @param api: URL of the endpoint API.
        @return: what it said.
        """
        home = tempfile.mkdtemp(prefix="browser-")
        self.addCleanup(shutil.rmtree, home, True)
        url = f"{self.pages.origin}/?{urlencode({'api': api, 'uid': UID})}"
        log = Path(self.folder, "browser.log")
        with log.open("wb") as output:
            browser = subprocess.Popen(
                [self._browser, *FLAGS, *flags, f"--user-data-dir={home}/profile", url],
                env=self.environ | {"HOME": home},
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            end = time.monotonic() + PATIENCE
            while not self._is_over():
                if time.monotonic() > end or browser.poll() is not None:
                    shown = self.pages.said or "nothing"
                    self.fail(f"the page says:\n{shown}\nthe browser:\n{log.read_text()}")
                time.sleep(0.02)  # another process: no clock of ours moves it
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
        return self.pages.said

    def _is_over(self) -> bool:
        last = self.pages.said.rstrip("\n").rpartition("\n")[2]
        return last.startswith(("left", "failed"))

    def test_echo(self) -> None:
        """
        A page of an origin that may asks another origin's endpoint API, proves by WebCrypto to
        be the user, and talks in values and bytes.
        """
        origin = self.pages.origin
        self.assertEqual(self.browse(self.serve(origin, (origin,))), ALL_WELL)
        self.assertStops(self.server)

    def test_tls(self) -> None:
        """
        The same over https and wss.
        """
        url = self.serve("*", tls=True)
        self.assertEqual(self.browse(url, "--ignore-certificate-errors"), ALL_WELL)

    def test_foreignToApi(self) -> None:
        """
        The browser does not show a page the answer of an API that does not allow its origin.
        """
        url = self.serve("https://game.example")
        self.assertEqual(self.browse(url), "failed: Failed to fetch\n")

    def test_foreignToServer(self) -> None:
        """
        The WebSocket server refuses pages of origins that it does not allow.
        """
        url = self.serve("*", ("https://game.example",))
        self.assertEqual(self.browse(url), "failed: connection lost (1006)\n")
