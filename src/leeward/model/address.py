"""Take the login of an address apart from it, and hide it in texts."""

import re

# Up to the last @ before the path: a password may have one.
_LOGIN = re.compile(r"(\w[\w+.-]*://)([^/\s]*)@(.*)", re.DOTALL)
# A scheme is short, and must be here: what a hostile server says is long, and would be gone through again and again.
_IN_TEXT = re.compile(r"(\w[\w+.-]{0,31}://)[^/\s]*@")


def apart(url: str) -> tuple[str, str]:
    """The address without its login, and the login; '' when it has none."""
    match = _LOGIN.fullmatch(url)
    return (match[1] + match[3], match[2]) if match else (url, "")


def together(address: str, login: str) -> str:
    """The address with its login again."""
    scheme, sign, rest = address.partition("://")
    return f"{scheme}{sign}{login}@{rest}" if login else address


def redacted(text: str) -> str:
    """A text with stars in the place of the logins in its addresses."""
    return _IN_TEXT.sub(r"\1***@", text)
