"""The frame of the pages: one style, one small script, no other file, nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from typing import Final

_STYLE: Final = """\
:root{color-scheme:light dark;--text:#1b1f24;--soft:#57606a;--line:#d0d7de;--back:#fff;--card:#f6f8fa;--link:#0b57b0}
@media (prefers-color-scheme:dark){
:root{--text:#e6edf3;--soft:#9aa4af;--line:#3d444d;--back:#0d1117;--card:#161b22;--link:#79b8ff}
}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem;
color:var(--text);background:var(--back);font:16px/1.55 system-ui,sans-serif}
a{color:var(--link)}
a:focus-visible,input:focus-visible,summary:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{position:static}
h1{font-size:1.7rem;margin:.2rem 0}h2{font-size:1.3rem;margin:2rem 0 .6rem}h3{font-size:1.05rem;margin:1.4rem 0 .4rem}
.soft{color:var(--soft)}code,pre{font:.88em/1.5 ui-monospace,Consolas,monospace}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.8rem;overflow:auto;max-height:32rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}caption{text-align:left;color:var(--soft);padding:.3rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid var(--line)}th{white-space:nowrap}
td code{overflow-wrap:anywhere}
details{border:1px solid var(--line);border-radius:6px;margin:.4rem 0;background:var(--card)}
summary{cursor:pointer;padding:.5rem .8rem}details>div{padding:0 .8rem .8rem}
.verb{display:inline-block;min-width:4.5rem;font-weight:700}
label{font-weight:600;display:block;margin-bottom:.3rem}
input{font:inherit;color:inherit;background:var(--back);width:100%;max-width:34rem}
input{padding:.5rem .7rem;border:1px solid var(--soft);border-radius:6px}
[hidden]{display:none}"""

_SCRIPT: Final = """\
const box=document.getElementById("find"),said=document.getElementById("found");
const rows=[...document.querySelectorAll("[data-find]")];
function show(){const words=box.value.toLowerCase().split(/\\s+/).filter(Boolean);let count=0;
for(const row of rows){const fits=words.every(word=>row.dataset.find.includes(word));row.hidden=!fits;count+=fits;}
said.textContent=words.length?count+" of "+rows.length+" interfaces":rows.length+" interfaces";}
box.addEventListener("input",show);
const asked=new URLSearchParams(location.search).get("find");if(asked)box.value=asked;show();"""


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


CONTENT_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_digest(_STYLE)}'; script-src 'sha256-{_digest(_SCRIPT)}';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""What a browser may do with the pages: show them, and run this one script."""


def whole(title: str, body: str, *, searched: bool = False) -> str:
    """Return a page. `searched` adds the script that filters what has `data-find`."""
    script = f"<script>{_SCRIPT}</script>" if searched else ""
    return (
        '<!doctype html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f'<a class="skip" href="#main">Skip to the content</a>{body}{script}</body></html>\n'
    )


def table(caption: str, heads: Iterable[str], rows: Iterable[str]) -> str:
    """Return a table; rows are written already. Without `heads` the rows' own headings do."""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    head = f"<thead><tr>{names}</tr></thead>" if names else ""
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>'
        f"{head}<tbody>{''.join(rows)}</tbody></table></div>"
    )


def row(head: str, *cells: str, attributes: str = "") -> str:
    """Return a table row of cells that are HTML already; the first is its heading."""
    rest = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{attributes}><th scope="row">{head}</th>{rest}</tr>'


def code(text: str) -> str:
    """Return text in the type of a machine."""
    return f"<code>{escape(text)}</code>"
