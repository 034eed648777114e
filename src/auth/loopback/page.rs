//! Everything the browser is shown: constant pages, with headers that let them do nothing.
//!
//! No value of a request is ever placed in a page, not even escaped. There is no script, no link and no outside
//! resource; the one style is allowed by its hash.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tiny_http::{HTTPVersion, Header, Response, StatusCode};

use super::head::Refusal;

/// How the sign-in ended, for the page in the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The session is stored.
    SignedIn,
    /// It failed; the terminal tells why.
    Failed,
    /// The person or the service said no.
    Denied,
}

/// The words of one page. The mark is a class of the style.
struct Text {
    mark: &'static str,
    title: &'static str,
    line: &'static str,
    hint: &'static str,
}

const SIGNED_IN: Text = Text {
    mark: "good",
    title: "You are signed in",
    line: "Lanyard has stored your session on this computer.",
    hint: "You can close this tab and go back to your terminal.",
};
const FAILED: Text = Text {
    mark: "bad",
    title: "The sign-in did not finish",
    line: "Nothing was changed on this computer.",
    hint: "Your terminal tells what went wrong and what to do next.",
};
const DENIED: Text = Text {
    mark: "stop",
    title: "Access was not granted",
    line: "The request was declined, so Lanyard got no access. Nothing was changed on this computer.",
    hint: "To try again, run the command in your terminal once more.",
};
const WAITING: Text = Text {
    mark: "wait",
    title: "Almost there",
    line: "Lanyard has the answer and is finishing the sign-in.",
    hint: "Go back to your terminal: it tells how it ended.",
};
const REFUSED: Text = Text {
    mark: "stop",
    title: "Nothing to see here",
    line: "This address only takes the answer of a sign-in that is under way.",
    hint: "If you were signing in, go back to your terminal and start again from there.",
};

/// The page that tells the outcome.
pub(super) fn outcome(outcome: Outcome) -> Vec<u8> {
    let text = match outcome {
        Outcome::SignedIn => &SIGNED_IN,
        Outcome::Failed => &FAILED,
        Outcome::Denied => &DENIED,
    };
    respond(200, text, None)
}

/// The page for a browser that has waited long enough.
pub(super) fn waiting() -> Vec<u8> {
    respond(200, &WAITING, None)
}

/// Sends the browser on to an address without a query, so that no code stays in the address bar or the history.
pub(super) fn sent_on(path: &str) -> Vec<u8> {
    respond(303, &WAITING, Some(("Location", path)))
}

/// The answer to anything that is not expected.
pub(super) fn refusal(refusal: Refusal) -> Vec<u8> {
    let allow = (refusal == Refusal::Method).then_some(("Allow", "GET"));
    respond(refusal as u16, &REFUSED, allow)
}

/// The whole response, written by tiny_http. As HTTP/1.0, in which each connection carries one exchange.
fn respond(status: u16, text: &Text, extra: Option<(&str, &str)>) -> Vec<u8> {
    let body = html(text).into_bytes();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        STANDARD.encode(Sha256::digest(STYLE))
    );
    let headers = [
        ("Server", "lanyard"),
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", policy.as_str()),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ];
    let headers = headers.into_iter().chain(extra).filter_map(|(name, value)| Header::from_bytes(name, value).ok());
    let length = body.len();
    let response = Response::new(StatusCode(status), headers.collect(), Cursor::new(body), Some(length), None);
    let mut bytes = Vec::with_capacity(length + 1024);
    // Writing to memory does not fail; were it to, the browser would get what there is.
    let _ = response.raw_print(&mut bytes, HTTPVersion(1, 0), &[], false, None);
    bytes
}

fn html(text: &Text) -> String {
    let Text { mark, title, line, hint } = text;
    format!(
        "<!doctype html>\n\
         <html lang=\"en\">\n\
         <head>\n\
         <meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} · Lanyard</title>\n\
         <style>{STYLE}</style>\n\
         </head>\n\
         <body>\n\
         <main>\n\
         <div class=\"mark {mark}\" aria-hidden=\"true\"><i></i></div>\n\
         <h1>{title}</h1>\n\
         <p>{line}</p>\n\
         <p class=\"hint\">{hint}</p>\n\
         </main>\n\
         <footer><b aria-hidden=\"true\"></b>Lanyard</footer>\n\
         </body>\n\
         </html>\n"
    )
}

/// The style of every page. In the source and not in a file of its own, because the compiler turns the line ends of a
/// checkout into the ones that the hash is made of in the browser.
const STYLE: &str = r#"
:root {
  color-scheme: light dark;
  --ground: #f3f4f8; --glow: #e3e6fb; --card: #ffffff; --edge: #dfe2ec; --ink: #161a2b; --soft: #5b6178;
  --brand: #4b55d8; --good: #16845b; --bad: #c0362c; --stop: #9a6700; --on: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f1119; --glow: #1d2140; --card: #181b27; --edge: #2a2f42; --ink: #eef0f8; --soft: #a2a9c0;
    --brand: #98a1ff; --good: #46c793; --bad: #ff8379; --stop: #e5b454; --on: #12141d;
  }
}
* { box-sizing: border-box; margin: 0; }
body {
  min-height: 100vh; padding: 24px; display: flex; flex-direction: column; align-items: center;
  justify-content: center; gap: 24px; color: var(--ink);
  background: var(--ground) radial-gradient(60rem 30rem at 50% -8rem, var(--glow), transparent) no-repeat;
  font: 400 17px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  -webkit-text-size-adjust: 100%;
}
main {
  width: 100%; max-width: 460px; padding: 48px 40px 40px; text-align: center; background: var(--card);
  border: 1px solid var(--edge); border-radius: 20px;
  box-shadow: 0 1px 2px rgb(15 18 40 / 6%), 0 20px 48px -16px rgb(15 18 40 / 20%);
}
h1 { font-size: 26px; font-weight: 650; line-height: 1.25; letter-spacing: -.015em; text-wrap: balance; }
p { margin-top: 12px; text-wrap: balance; }
.hint { margin-top: 28px; padding-top: 20px; border-top: 1px solid var(--edge); font-size: 15px; color: var(--soft); }
.mark { position: relative; width: 72px; height: 72px; margin: 0 auto 26px; border-radius: 50%; }
.mark i, .mark i::before, .mark i::after { position: absolute; content: ""; }
.good { background: var(--good); }
.good i {
  left: 27px; top: 17px; width: 18px; height: 31px; border: solid var(--on); border-width: 0 5px 5px 0;
  border-radius: 2px; transform: rotate(42deg);
}
.bad { background: var(--bad); }
.bad i { inset: 0; transform: rotate(45deg); }
.bad i::before { left: 33.5px; top: 19px; width: 5px; height: 34px; border-radius: 3px; background: var(--on); }
.bad i::after { left: 19px; top: 33.5px; width: 34px; height: 5px; border-radius: 3px; background: var(--on); }
.stop { background: var(--stop); }
.stop i { left: 20px; top: 33px; width: 32px; height: 6px; border-radius: 3px; background: var(--on); }
.wait { border: 5px solid var(--edge); border-top-color: var(--brand); animation: turn 1s linear infinite; }
@keyframes turn { to { transform: rotate(360deg); } }
@media (prefers-reduced-motion: reduce) { .wait { animation: none; } }
footer { display: flex; align-items: center; gap: 10px; font-size: 14px; font-weight: 600; color: var(--soft); }
footer b { position: relative; width: 12px; height: 16px; border: 2px solid var(--brand); border-radius: 4px; }
footer b::before {
  position: absolute; left: 50%; top: -8px; width: 2px; height: 7px; margin-left: -1px; content: "";
  background: var(--brand);
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_whole_and_inert() {
        let pages = [
            outcome(Outcome::SignedIn),
            outcome(Outcome::Failed),
            outcome(Outcome::Denied),
            waiting(),
            sent_on("/callback/done"),
            refusal(Refusal::Bad),
        ];
        for page in pages {
            let page = String::from_utf8(page).unwrap();
            let (head, body) = page.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{head}");
            assert!(body.starts_with("<!doctype html>") && body.ends_with("</html>\n"));
            for forbidden in ["<script", "<a ", "href", "src=", "http", "url(", "@import", "style=", "onclick"] {
                assert!(!body.contains(forbidden), "{forbidden}");
            }
            assert!(!head.to_ascii_lowercase().contains("access-control"));
        }
    }

    #[test]
    fn the_policy_allows_the_style_that_is_in_the_page() {
        let page = String::from_utf8(waiting()).unwrap();
        let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
        let hash = STANDARD.encode(Sha256::digest(style));
        let policy = format!(
            "\r\nContent-Security-Policy: default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; \
             base-uri 'none'; form-action 'none'\r\n"
        );
        assert!(page.contains(&policy));
        for header in [
            "Content-Type: text/html; charset=utf-8",
            "X-Content-Type-Options: nosniff",
            "Referrer-Policy: no-referrer",
            "Cache-Control: no-store",
            "X-Frame-Options: DENY",
            "Cross-Origin-Opener-Policy: same-origin",
        ] {
            assert!(page.contains(&format!("\r\n{header}\r\n")), "{header}");
        }
    }

    #[test]
    fn the_browser_is_sent_on_by_303() {
        let page = String::from_utf8(sent_on("/callback/done")).unwrap();
        assert!(page.starts_with("HTTP/1.0 303 See Other\r\n") && page.contains("\r\nLocation: /callback/done\r\n"));
    }
}
