"""`-f URL` and `-a URL`: fetched with limits, without keys, never from the user's own network unless typed as such."""

import gzip
import http.server
import socket
import threading
from contextlib import contextmanager

import pytest

from scrimp.profiles.errors import TryAgainError, UsageError
from scrimp.routing.asking import fetching
from scrimp.routing.asking.fetching import Fetcher

PAGE = b"<html><head><title>Cats</title><script>no()</script></head><body><p>Cats purr.</p></body></html>"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


class Web:
    """A loopback web server; `pages` maps a path to (status, headers, body), `seen` has what arrived."""

    def __init__(self):
        self.pages = {}
        self.seen = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.seen.append((self.path, dict(self.headers)))
                status, headers, body = outer.pages.get(self.path, (404, {}, b"no such page"))
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path, host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Web() as found:
        yield found


@pytest.fixture
def names(monkeypatch):
    """Have names be looked up here: `names["wiki.example"] = "10.0.0.1"`."""
    known = {}
    real = socket.getaddrinfo

    def look_up(host, port, *args, **more):
        if host in known:
            each = known[host]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in each.split()]
        return real(host, port, *args, **more)

    monkeypatch.setattr(fetching.socket, "getaddrinfo", look_up)
    return known


def text(url, **more):
    said = []
    fetched = Fetcher(tell=said.append, **more).text(url)
    return fetched, said


# -- the commands


def test_a_page_is_read_as_text_and_what_was_fetched_is_said(scrimp, profile, server, web, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0000000000")
    web.pages["/cats?token=secret"] = (200, {"Content-Type": "text/html; charset=utf-8"}, PAGE)
    done = scrimp("ask", "-p", profile(small="echo"), "-f", web.url("/cats?token=secret"), "What do cats do?")
    assert done.code == 0, done.err
    assert f"scrimp: fetched {web.url('/cats')}: {len(PAGE)} bytes of text/html" in done.err
    sent = server.chats[-1].prompt
    assert "Cats purr." in sent
    assert "no()" not in sent
    assert "secret" not in sent + done.err
    ((path, headers),) = web.seen
    assert path == "/cats?token=secret"
    assert not {"authorization", "cookie"} & {name.lower() for name in headers}
    assert "canary" not in str(headers)


def test_it_is_in_the_log_and_redo_fetches_nothing(scrimp, profile, server, web):
    path = profile(small="echo", large="echo")
    web.pages["/a.txt"] = (200, {"Content-Type": "text/plain"}, b"alpha")
    scrimp("ask", "-q", "-p", path, "-m", "small", "-f", web.url("/a.txt"), "What?")
    assert web.url("/a.txt") in scrimp("log", "show", "last").out
    assert scrimp("redo", "-p", path, "-m", "large").code == 0
    assert "alpha" in server.chats[-1].prompt
    assert len(web.seen) == 1


def test_beside_files_and_once(scrimp, profile, server, web, tmp_path):
    web.pages["/a"] = (200, {"Content-Type": "text/plain"}, b"alpha")
    (tmp_path / "work" / "b.txt").write_text("beta")
    argv = ("-f", web.url("/a"), "-f", "b.txt", "-f", web.url("/a"), "--read", "whole", "What?")
    done = scrimp("ask", "-q", "-p", profile(small="echo"), *argv)
    assert done.code == 0
    sent = server.chats[-1].prompt
    assert sent.index("alpha") < sent.index("beta")
    assert (sent.count("alpha"), len(web.seen), done.err) == (1, 1, "")


def test_attachments(scrimp, profile, server, web):
    path = profile(small="ok")
    web.pages["/x.png"] = (200, {"Content-Type": "image/png"}, PNG)
    assert scrimp("ask", "-q", "-p", path, "-a", web.url("/x.png"), "What is it?").code == 0
    assert "data:image/png;base64," in str(server.chats[-1].body)
    assert scrimp("ask", "-q", "-p", path, "-a", "-", "What is it?", stdin=PNG).code == 0
    assert "data:image/png;base64," in str(server.chats[-1].body)
    web.pages["/x.txt"] = (200, {"Content-Type": "text/plain"}, b"words")
    done = scrimp("ask", "-p", path, "-a", web.url("/x.txt"), "What is it?")
    assert done.code == 2
    assert "is neither a PNG, JPEG, GIF or WebP image nor a PDF" in done.err
    done = scrimp("ask", "-p", path, "-a", "-", "-f", "-", "What is it?", stdin=PNG)
    assert done.code == 2
    assert "standard input can be read once" in done.err


@pytest.mark.parametrize("flag", ["--offline", "--local-only", "SCRIMP_OFFLINE"])
def test_nothing_leaves_this_machine_where_nothing_may(scrimp, profile, names, web, monkeypatch, flag):
    names["example.org"] = "93.184.216.34"
    argv = [flag]
    if flag.startswith("SCRIMP"):
        monkeypatch.setenv(flag, "1")
        argv = []
    for command in ("ask", "route"):
        done = scrimp(command, "-p", profile(small="ok"), *argv, "-f", "https://example.org/x", "What?")
        assert done.code == 2
        assert "https://example.org/x is not fetched: nothing may leave this machine" in done.err
    web.pages["/a"] = (200, {"Content-Type": "text/plain"}, b"alpha")
    done = scrimp("ask", "-p", profile(small="echo"), *argv, "-f", web.url("/a"), "What?")
    assert done.code == 0, done.err  # that is this machine


def test_rows_of_a_file_fetch_nothing(scrimp, profile, web, tmp_path):
    web.pages["/a"] = (200, {"Content-Type": "text/plain"}, b"alpha")
    (tmp_path / "in.jsonl").write_text(f'{{"prompt": "What?", "file": "{web.url("/a")}"}}\n')
    scrimp("batch", tmp_path / "in.jsonl", "-o", tmp_path / "o.jsonl", "-p", profile(small="ok"), "-q", "-y")
    assert not web.seen


def test_python_fetches_too(profile, server, web):
    from scrimp import Scrimp

    web.pages["/a"] = (200, {"Content-Type": "text/plain"}, b"alpha")
    with Scrimp(str(profile(small="echo"))) as s:
        assert "alpha" in s.ask("What?", files=web.url("/a")).text
        s.ask("What?", files=[web.url("/a")], on_this_machine=True)
        with pytest.raises(UsageError, match="nothing may leave"):
            s.ask("What?", files="https://example.org/", on_this_machine=True)


# -- where it goes


PRIVATE = ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_into_the_own_network_is_not_followed(names, web, address):
    names["evil.example"] = f"93.184.216.34 {address}"
    with pytest.raises(UsageError, match=r"evil\.example.* is no public address: not fetched"):
        text(f"http://evil.example:{web.port}/")
    assert not web.seen


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001"])
def test_addresses_in_other_spellings(web, host):
    with pytest.raises(UsageError, match="no public address"):
        text(f"http://{host}:{web.port}/")
    assert not web.seen


@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:{other}/x", "http://localhost:{other}/x", "http://10.0.0.1/", "http://[::1]/",
           "http://[::ffff:10.0.0.1]/", "http://[fe80::1]/", "http://[64:ff9b::a00:1]/", "http://[2002:a00:1::]/",
           "http://evil.example/", "file:///etc/passwd", "ftp://example.org/", "http://u:p@127.0.0.1:{port}/x"],
)  # fmt: skip
def test_no_redirect_leads_there(names, web, to):
    names["evil.example"] = "10.0.0.1"
    with Web() as other:
        web.pages["/go"] = (302, {"Location": to.format(other=other.port, port=web.port)}, b"")
        with pytest.raises(UsageError):
            text(web.url("/go"))
        assert not other.seen
    assert len(web.seen) == 1


def test_a_public_page_does_not_lead_to_a_private_one(names, web, monkeypatch):
    """The public host is this server, by the only seam there is: which addresses count as public."""
    names["public.example"] = "127.0.0.1"
    public = fetching._is_public
    monkeypatch.setattr(fetching, "_is_public", lambda host: host == "127.0.0.1" or public(host))
    monkeypatch.setattr(fetching, "_is_literal", lambda host: host == "localhost")
    web.pages["/ok"] = (200, {"Content-Type": "text/plain"}, b"alpha")
    assert text(web.url("/ok", "public.example"))[0].data == b"alpha"
    web.pages["/go"] = (302, {"Location": web.url("/ok", "localhost")}, b"")
    with pytest.raises(UsageError, match=r"public\.example.*leads to http://localhost.*no public address"):
        text(web.url("/go", "public.example"))


def test_redirects_are_followed_within_what_was_typed(web):
    web.pages["/go"] = (301, {"Location": "/on"}, b"")
    web.pages["/on"] = (307, {"Location": web.url("/a.txt")}, b"")
    web.pages["/a.txt"] = (200, {"Content-Type": "text/plain"}, b"alpha")
    fetched, said = text(web.url("/go"))
    assert (fetched.url, fetched.name, fetched.data) == (web.url("/a.txt"), "a.txt", b"alpha")
    assert len(said) == 1
    web.pages["/round"] = (302, {"Location": "/round"}, b"")
    with pytest.raises(UsageError, match="more than 5 redirects"):
        text(web.url("/round"))
    assert sum(path == "/round" for path, _ in web.seen) == 6


@pytest.mark.parametrize(
    "url",
    ["http://", "http:///x", "http://user:pw@127.0.0.1/", "http://127.0.0.1:99999/", "http://a b/", "http://x\n.example/",
     "http://[::1/", "http://nowhere.invalid/"],
)  # fmt: skip
def test_what_is_no_url_to_fetch(url):
    with pytest.raises(UsageError) as caught:
        text(url)
    assert "pw" not in caught.value.message


# -- limits


def test_what_the_server_says(web):
    for status, error in (
        (404, UsageError),
        (403, UsageError),
        (204, UsageError),
        (500, TryAgainError),
        (429, TryAgainError),
    ):
        web.pages["/x"] = (status, {}, b"")
        with pytest.raises(error, match=f"answers {status}"):
            text(web.url("/x"))
    web.pages["/x"] = (200, {"Content-Type": "video/mp4"}, b"xx")
    with pytest.raises(UsageError, match="is video/mp4, and no text"):
        text(web.url("/x"))


def test_too_much_is_not_read_to_its_end(web, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_BYTES", 1000)
    web.pages["/said"] = (200, {}, b"x" * 1001)
    web.pages["/bomb"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 100_000))
    for path in ("/said", "/bomb"):
        with pytest.raises(UsageError, match="is over 0 MB, the most that is fetched"):
            text(web.url(path))
    web.pages["/fine"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 1000))
    assert len(text(web.url("/fine"))[0].data) == 1000
    web.pages["/br"] = (200, {"Content-Encoding": "br"}, b"xx")
    with pytest.raises(UsageError, match="compressed"):
        text(web.url("/br"))


@contextmanager
def dripping():
    """A server that sends a byte of its headers now and then, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def drip():
            conn, _ = listening.accept()
            with conn:
                conn.recv(4096)
                while not over.wait(0.05):
                    try:
                        conn.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        over.set()
        thread.join(5)


def test_one_that_never_ends_is_left(monkeypatch):
    monkeypatch.setattr(fetching, "MAX_SECONDS", 0.5)
    with dripping() as url, pytest.raises(TryAgainError, match="did not answer in time"):
        text(url)


def test_one_that_is_not_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(TryAgainError, match="cannot be fetched: Connection refused"):
            text(f"http://127.0.0.1:{taken.getsockname()[1]}/")


def test_encodings_that_the_server_names(scrimp, profile, server, web):
    web.pages["/l"] = (200, {"Content-Type": "text/plain; charset=iso-8859-1"}, "Zoë über".encode("latin-1"))
    scrimp("ask", "-q", "-p", profile(small="ok"), "-f", web.url("/l"), "--read", "whole", "What?")
    assert "Zoë über" in server.chats[-1].prompt


def test_through_a_proxy_of_the_environment(web, monkeypatch, names):
    names["example.org"] = "93.184.216.34"
    monkeypatch.setenv("http_proxy", web.url(""))
    web.pages["http://example.org/x"] = (200, {"Content-Type": "text/plain"}, b"by proxy")
    assert text("http://example.org/x")[0].data == b"by proxy"
    web.pages["http://example.org/go"] = (302, {"Location": "http://10.0.0.1/"}, b"")
    with pytest.raises(UsageError, match="no public address"):
        text("http://example.org/go")


def test_nothing_is_imported_for_it_where_there_is_no_url(scrimp, profile, unimported, tmp_path):
    import sys

    (tmp_path / "work" / "a.txt").write_text("alpha")
    unimported("scrimp.routing.asking.fetching")
    assert scrimp("ask", "-q", "-p", profile(small="ok"), "-f", "a.txt", "What?").code == 0
    assert "scrimp.routing.asking.fetching" not in sys.modules
