"""NNI's web UI and a hostile page, in a real browser, against the real manager."""

from __future__ import annotations

import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from engines.nnictl.experiment import Experiment, slow, tiny
from engines.nnictl.test_guard import ECHO, UPGRADE, ask, own, served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.timeout(600)

# What a browser sends for any page without asking the server first.
HOSTILE = """<script>
const said = (text) => fetch('/', { method: 'POST', body: text });
for (const [name, port] of Object.entries(PORTS)) {
  const path = `127.0.0.1:${port}/api/v1/nni/trial-jobs`;
  fetch(`http://${path}`, { method: 'POST', mode: 'no-cors', body: '{"x": 1}' }).then(() => said(`${name} posted`));
  const socket = new WebSocket(`ws://127.0.0.1:${port}/tuner`);
  socket.onopen = () => { said(`${name} open`); socket.send('{"type": "NO", "content": ""}'); };
  socket.onerror = () => said(`${name} refused`);
}
</script>"""


@contextmanager
def site(page: str) -> Iterator[tuple[str, queue.Queue[str]]]:
    """A web site of its own, as another port is another origin, with what its pages tell it."""
    told: queue.Queue[str] = queue.Queue()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def do_POST(self) -> None:
            told.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", told
        server.shutdown()


def chromium(profile: Path, *words: str) -> list[str]:
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--enable-logging=stderr"]
    return [str(CHROMIUM), *options, "--window-size=1400,900", f"--user-data-dir={profile}", *words]


def browse(url: str, profile: Path, *options: str) -> tuple[str, str]:
    """The page that a browser has after ten seconds of the page's own time, and what it logged."""
    words = chromium(profile, "--virtual-time-budget=10000", *options, url)
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    return done.stdout, done.stderr


def errors_in(log: str) -> list[str]:
    return [line for line in log.splitlines() if "CONSOLE" in line and re.search("error|fail|refuse", line, re.I)]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    """It runs until the tests are over."""
    folder = tmp_path_factory.mktemp("web_ui")
    with Experiment(folder, tiny(folder, strategy="random", trialCommand=slow(2), maxTrialNumber=500)) as experiment:
        experiment.wait_for_trials(1)
        yield experiment


def unharmed(experiment: Experiment) -> None:
    """The strategy's trials run on, nobody took its place, and nobody added a trial."""
    experiment.wait_for_trials(experiment.n_ended() + 2)
    assert experiment.get("check-status") == {"status": "RUNNING", "errors": []}
    assert all(
        '"parameter_source":"algorithm"' in job["hyperParameters"][0].replace(" ", "") for job in experiment.jobs()
    )
    assert "reconnecting" not in (experiment.folder / "log" / "nnimanager.log").read_text()


@pytest.mark.slow
def test_strangers_get_nothing_from_the_real_server(experiment: Experiment) -> None:
    port, api = experiment.port, "/api/v1/nni"
    foreign = [{"Host": f"evil.example:{port}"}, own(port) | {"Origin": "http://evil.example"}]
    for headers in [*foreign, own(port) | {"Origin": "null"}, own(port) | {"Sec-Fetch-Site": "cross-site"}]:
        for more, line in (({}, f"GET {api}/trial-jobs HTTP/1.1"), (UPGRADE, "GET /tuner HTTP/1.1")):
            assert ask(port, headers | more, line=line).startswith("HTTP/1.1 403 Forbidden")
        text = {"Content-Type": "text/plain"}
        answer = ask(port, headers | text, line=f"POST {api}/trial-jobs HTTP/1.1", body='{"x": 1}')
        assert answer.startswith("HTTP/1.1 403 Forbidden")
    unharmed(experiment)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.slow
def test_the_web_ui_loads_without_errors_and_shows_the_experiment(experiment: Experiment, tmp_path: Path) -> None:
    shot = tmp_path / "web_ui.png"
    page, log = browse(f"http://localhost:{experiment.port}/oview", tmp_path / "profile", "--dump-dom")
    assert experiment.id in page and "RUNNING" in page
    browse(f"http://127.0.0.1:{experiment.port}/oview", tmp_path / "profile", f"--screenshot={shot}")
    assert shot.exists()
    assert errors_in(log) == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.slow
def test_a_page_of_another_site_changes_nothing(experiment: Experiment, tmp_path: Path) -> None:
    with served(ECHO, options="") as (open_port, process):
        page = HOSTILE.replace("PORTS", f"{{guarded: {experiment.port}, open: {open_port}}}")
        with site(page) as (address, told):
            browser = subprocess.Popen(chromium(tmp_path / "profile", address), stderr=subprocess.DEVNULL)
            try:
                seen = {told.get(timeout=200) for _ in range(4)}
            finally:
                browser.terminate()
                browser.wait(100)
        process.kill()
        assert process.stdout is not None
        came_through = process.stdout.read()
    assert seen == {"guarded posted", "guarded refused", "open posted", "open open"}, "posted: sent, not taken"
    assert '{"x": 1}' in came_through, "or the browser sent nothing"
    unharmed(experiment)
