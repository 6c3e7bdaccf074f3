"""What the tests of pages share: texts that would do harm, and a home with a log of them."""

import re
import time

import made_log

from scrimp.routing.ledger.store import open_ledger

HARM = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "\x1b[2J\x1b]0;owned\x07 \x9b31m",
    "\u202egnp.exe\u202c \u2066hidden\u2069 \u200bzero\ufeff",
    "</style><style>*{display:none!important}</style>",
    "<svg onload=document.title='owned'><script>document.title='owned'</script></svg>",
    "'\" onmouseover=document.title='owned' autofocus onfocus=document.title='owned' x=\"",
    "--><!-- ]]> <![CDATA[ &lt;b&gt; &#x3c;b&#x3e;",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'><base href=http://127.0.0.1:9/>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x><iframe src=http://127.0.0.1:9/></iframe>",
    "</pre></details></div></main></body></html><h1>after the end</h1>",
    "W" * 1_000_000,
    "e" + "\u0301" * 4000,
    "\u0645\u0631\u062d\u0628\u0627 " * 300,
    "\n" * 3000 + "far below",
    "\U0001f600 \u5b57" * 400,
    "{{7*7}} ${7*7} <%= 7*7 %> javascript:document.title='owned'",
)
"""Prompts, answers and names as somebody who means harm would write them."""


def home_of(home, *, n=150, now=None, duels=True, **options):
    """Fill the ledger of a home; return what is true of it."""
    now = time.time() if now is None else now
    home.mkdir(exist_ok=True)
    with open_ledger(home / "scrimp.db") as ledger:
        truth = made_log.fill(ledger, n=n, now=now, **options)
        if duels:
            made_log.fight(ledger, truth, now=now, n=min(60, n // 2))
            made_log.learn(ledger, now=now)
    return truth


def harm(i):
    return HARM[i % len(HARM)]


def text_of(page):
    """Return what a page shows, without its styles and scripts, blanks put together."""
    page = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())
