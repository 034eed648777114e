#!/usr/bin/env python3
"""A person with a browser, as far as a sign-in needs one.

  browse.py URL [--user NAME] [--password WORD] [--code USER-CODE] [--deny] [--no-deliver] [--trace]

Opens the URL, follows redirects, keeps cookies, fills in the forms for signing in, consenting and entering a device
code, and ends at a loopback callback, which it delivers unless told otherwise, or at a page that asks nothing more.
Prints one JSON line: {"final": URL, "status": N, "steps": N, "text": "..."}. Exits 0 when it got there. Needs nothing
but the standard library.
"""
import argparse
import html.parser
import http.cookiejar
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

AGREE = ("accept", "allow", "approve", "authorize", "confirm", "continue", "grant", "log in", "login", "next", "sign", "submit", "yes")
REFUSE = ("abort", "cancel", "decline", "deny", "logout", "no", "refuse", "reject", "switch")
REDIRECTS = (301, 302, 303, 307, 308)
MOST_STEPS = 20


class Page(html.parser.HTMLParser):
    """The forms, links and words of a page."""

    def __init__(self, source):
        super().__init__()
        self.forms, self.links, self.words = [], [], []
        self.form = self.button = None
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.form = {"action": given.get("action", ""), "method": given.get("method", "get").lower(),
                         "id": given.get("id"), "fields": [], "buttons": []}
            self.forms.append(self.form)
        elif tag == "a":
            self.links.append(given.get("href", ""))
        elif tag in ("input", "button", "select", "textarea"):
            self.control(tag, given)

    def control(self, tag, given):
        named = [form for form in self.forms if given.get("form") and form["id"] == given["form"]]
        form = named[0] if named else self.form
        if form is None:
            return
        kind = given.get("type", "submit" if tag == "button" else "text").lower()
        item = {"name": given.get("name", ""), "id": given.get("id", ""), "kind": kind, "value": given.get("value", ""),
                "checked": "checked" in given, "label": given.get("value", "")}
        if kind in ("submit", "image", "button", "reset"):
            form["buttons"].append(item)
            self.button = item if tag == "button" else None
        else:
            form["fields"].append(item)

    def handle_endtag(self, tag):
        if tag == "form":
            self.form = None
        if tag == "button":
            self.button = None

    def handle_data(self, data):
        self.words.append(data)
        if self.button is not None:
            self.button["label"] += " " + data.strip()

    def text(self):
        return " ".join(" ".join(self.words).split())[:300]


class Person:
    """Answers forms the way the options say."""

    def __init__(self, options):
        self.options = options
        self.steps = 0
        self.opener = urllib.request.build_opener(
            StayHere, urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), urllib.request.ProxyHandler({}))

    def fetch(self, url, form=None):
        self.steps += 1
        headers = {"Accept": "text/html", "User-Agent": "browse.py"}
        data = None
        if form is not None:
            parts = urllib.parse.urlsplit(url)
            data = urllib.parse.urlencode(form).encode()
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Referer": url,
                        "Origin": f"{parts.scheme}://{parts.netloc}"}
        try:
            answer = self.opener.open(urllib.request.Request(url, data=data, headers=headers), timeout=20)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        body = answer.read().decode("utf-8", "replace")
        if self.options.trace:
            print("GET" if form is None else "POST", url, answer.status, answer.headers.get("Location", ""), file=sys.stderr)
        return answer.status, answer.headers.get("Location"), body

    def liking(self, button, refuse):
        label = f"{button['label']} {button['value']} {button['name']}".lower()
        wanted, unwanted = (REFUSE, AGREE) if refuse else (AGREE, REFUSE)
        return sum(word in label for word in wanted) - 2 * sum(word in label.split() for word in unwanted)

    def answer(self, form):
        """The fields to send: what the form has, what the person knows, and the best-liked button."""
        sent = []
        for field in form["fields"]:
            hint = f"{field['name']} {field['id']}".lower()
            if not field["name"] or (field["kind"] == "radio" and not field["checked"]):
                continue
            value = field["value"]
            if field["kind"] == "password":
                value = self.options.password
            elif field["kind"] == "checkbox":
                value = value or "on"
            elif field["kind"] == "hidden" and value:
                pass
            elif "code" in hint and self.options.code:
                value = self.options.code
            elif any(word in hint for word in ("account", "email", "login", "user")):
                value = self.options.user
            sent.append((field["name"], value))
        refuse = self.options.deny and not asks_password(form)
        best = max(form["buttons"], key=lambda button: self.liking(button, refuse), default=None)
        if best and best["name"]:
            sent.append((best["name"], best["value"]))
        return sent

    def way_out(self, page):
        words = ("abort", "cancel", "deny")
        return next((link for link in page.links if self.options.deny and any(word in link.lower() for word in words)), None)

    def browse(self, url):
        form, signed = None, False
        while self.steps < MOST_STEPS:
            if form is None and is_callback(url):
                status = 200 if self.options.no_deliver else self.fetch(url)[0]
                return {"final": url, "status": status, "steps": self.steps, "text": ""}
            consented = form is not None and signed
            status, location, body = self.fetch(url, form)
            form = None
            if status in REDIRECTS and location:
                url = urllib.parse.urljoin(url, location)
                continue
            page = Page(body)
            forms = [f for f in page.forms if f["method"] == "post" and "logout" not in f["action"]]
            out = self.way_out(page)
            if out:
                url = urllib.parse.urljoin(url, out)
            elif not forms or (self.options.deny and consented):
                return {"final": url, "status": status, "steps": self.steps, "text": page.text()}
            else:
                chosen = max(forms, key=lambda f: (asks_password(f), max((self.liking(b, False) for b in f["buttons"]), default=-9)))
                url = urllib.parse.urljoin(url, chosen["action"])
                form, signed = self.answer(chosen), not asks_password(chosen) and not asks_code(chosen)
        return {"final": url, "status": 0, "steps": self.steps, "text": "gave up"}


class StayHere(urllib.request.HTTPRedirectHandler):
    """Redirects are steps, and the person looks at each."""

    def redirect_request(self, *_arguments):
        return None


def asks_password(form):
    return any(field["kind"] == "password" for field in form["fields"])


def asks_code(form):
    return any("code" in field["name"].lower() and field["kind"] == "text" for field in form["fields"])


def is_callback(url):
    parts = urllib.parse.urlsplit(url)
    query = urllib.parse.parse_qs(parts.query)
    return parts.path.startswith(("/callback", "/connect/callback", "/sign-in/back")) and ("code" in query or "error" in query)


def main():
    parser = argparse.ArgumentParser(description="A person with a browser")
    parser.add_argument("url")
    parser.add_argument("--user", default="alice")
    parser.add_argument("--password", default="alice-password")
    parser.add_argument("--code", help="the device code to enter")
    parser.add_argument("--deny", action="store_true", help="refuse consent")
    parser.add_argument("--no-deliver", action="store_true", help="print the callback without opening it")
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    outcome = Person(options).browse(options.url)
    print(json.dumps(outcome))
    return 0 if 200 <= outcome["status"] < 400 else 1


if __name__ == "__main__":
    sys.exit(main())
