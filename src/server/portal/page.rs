//! What every page has: its frame, its style, and the headers that let it do nothing else.
//!
//! There is no outside resource, and no script but the one that asks a passkey, on the pages that do; the style is allowed
//! by its hash. Text from anywhere else goes through [`Text`], which escapes it.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::server::problem::Problem;

/// A text as a page shows it, in a tag or in a quoted attribute.
pub(crate) struct Text<'t>(pub(crate) &'t str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            // What would turn the direction of what follows, or act on a terminal that the page is copied to.
            other if crate::text::is_unprintable(other) => Ok(()),
            other => write!(f, "{other}"),
        })
    }
}

/// A page.
pub(crate) struct Page {
    status: StatusCode,
    title: Cow<'static, str>,
    body: String,
    form_action: String,
    /// What stands above a page of the portal's inside.
    navigation: Option<String>,
    /// Whether the one script that there is may run on it.
    has_script: bool,
    /// When to come back, in seconds, where it says that.
    retry_after: Option<Box<HeaderValue>>,
}

impl Page {
    /// A page with this title and content, whose texts are escaped already.
    pub(crate) fn new(title: impl Into<Cow<'static, str>>, body: String) -> Self {
        Self {
            status: StatusCode::OK,
            title: title.into(),
            body,
            form_action: "'self'".into(),
            navigation: None,
            has_script: false,
            retry_after: None,
        }
    }

    /// The same with another status.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with the status of a problem, and with when to come back where that says so.
    pub(crate) fn after(mut self, problem: &Problem) -> Self {
        self.status = problem.status();
        self.retry_after = problem.retry_after().map(Box::new);
        self
    }

    /// Lets its form end at another origin, too: browsers hold a form to that through every redirect. A policy has no word
    /// for a host that is an IPv6 address (CSP level 3 section 2.3.1), so that it names the port alone of such a one.
    pub(crate) fn may_end_at(mut self, origin: &str) -> Self {
        let (scheme, rest) = origin.split_once("://[").unwrap_or_default();
        let end = match rest.split_once(']') {
            Some((_, port)) => format!("{scheme}://*{port}"),
            None => origin.to_owned(),
        };
        self.form_action = format!("'self' {end}");
        self
    }

    /// The same within the frame of the portal's inside, with this navigation.
    pub(crate) fn within(mut self, navigation: String) -> Self {
        self.navigation = Some(navigation);
        self
    }

    /// The same with the script by which a browser asks a passkey.
    pub(crate) fn with_script(mut self) -> Self {
        self.has_script = true;
        self
    }

    /// A page that says why something was not done, and when it may be.
    pub(crate) fn put_off(problem: &Problem, why: &str) -> Self {
        Self::refusal(problem.status(), why).after(problem)
    }

    /// A page that says why something was not done.
    pub(crate) fn refusal(status: StatusCode, why: &str) -> Self {
        let way = "<p class=\"hint\"><a href=\"/\">To the first page</a></p>";
        Self::new("This did not work", format!("<p role=\"alert\">{}</p>\n{way}", Text(why))).status(status)
    }
}

/// Sends the browser on.
pub(crate) fn sent_on(to: &str, cookie: Option<String>) -> Response {
    let Ok(location) = HeaderValue::from_str(to) else {
        return Page::refusal(StatusCode::BAD_REQUEST, "The address to go on to is none.").into_response();
    };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        static HASH: LazyLock<String> = LazyLock::new(|| hash(STYLE));
        static INSIDE_HASH: LazyLock<String> = LazyLock::new(|| hash(INSIDE));
        let Self { title, body, navigation, .. } = &self;
        let title = Text(title);
        let (styles, style, above, place) = match navigation {
            None => (format!("'sha256-{}'", *HASH), String::new(), String::new(), "<body>"),
            Some(navigation) => (
                format!("'sha256-{}' 'sha256-{}'", *HASH, *INSIDE_HASH),
                format!("<style>{INSIDE}</style>\n"),
                format!("<a class=\"skip\" href=\"#main\">Skip to the content</a>\n{navigation}\n"),
                "<body class=\"inside\">",
            ),
        };
        let (scripts, script) = if self.has_script {
            ("script-src 'self'; ", "<script src=\"/passkey.js\" defer></script>\n")
        } else {
            ("", "")
        };
        let policy = format!(
            "default-src 'none'; {scripts}style-src {styles}; frame-ancestors 'none'; base-uri 'none'; form-action {}",
            self.form_action
        );
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · Lanyard</title>\n\
             <style>{STYLE}</style>\n{style}{script}</head>\n{place}\n{above}<main id=\"main\">\n<h1>{title}</h1>\n{body}\n\
             </main>\n<footer><b aria-hidden=\"true\"></b>Lanyard</footer>\n</body>\n</html>\n"
        );
        let mut response = (self.status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
        let headers = response.headers_mut();
        headers.extend(self.retry_after.map(|after| (header::RETRY_AFTER, *after)));
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

fn hash(style: &str) -> String {
    STANDARD.encode(Sha256::digest(style))
}

/// The style of the pages behind a sign-in, after that of every page.
const INSIDE: &str = include_str!("inside.css");

/// The style of every page.
const STYLE: &str = r#"
:root {
  color-scheme: light dark;
  --ground: #f3f4f8; --glow: #e3e6fb; --card: #ffffff; --edge: #dfe2ec; --line: #8a90a6; --ink: #161a2b;
  --soft: #5b6178; --brand: #4b55d8; --bad: #c0362c; --on: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f1119; --glow: #1d2140; --card: #181b27; --edge: #2a2f42; --line: #6d748d; --ink: #eef0f8;
    --soft: #a2a9c0; --brand: #98a1ff; --bad: #ff8379; --on: #12141d;
  }
}
* { box-sizing: border-box; margin: 0; }
body {
  min-height: 100vh; padding: 24px; display: flex; flex-direction: column; align-items: center;
  justify-content: center; gap: 24px; color: var(--ink);
  background: var(--ground) radial-gradient(60rem 30rem at 50% -8rem, var(--glow), transparent) no-repeat;
  font: 400 17px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main {
  width: 100%; max-width: 480px; padding: 40px; background: var(--card); border: 1px solid var(--edge);
  border-radius: 20px; box-shadow: 0 1px 2px rgb(15 18 40 / 6%), 0 20px 48px -16px rgb(15 18 40 / 20%);
}
h1 { font-size: 26px; font-weight: 650; line-height: 1.25; letter-spacing: -.015em; text-wrap: balance; }
p, form, ul, dl { margin-top: 16px; }
ul { padding-left: 20px; }
svg { display: block; margin: 16px auto 0; max-width: 100%; height: auto; border-radius: 10px; }
a { color: var(--brand); text-underline-offset: 3px; }
label { display: block; margin-top: 16px; font-weight: 600; font-size: 15px; }
label small { display: block; font-weight: 400; color: var(--soft); }
input {
  width: 100%; margin-top: 6px; padding: 11px 12px; font: inherit; color: inherit; background: var(--ground);
  border: 1px solid var(--line); border-radius: 10px;
}
.code input { font-size: 24px; letter-spacing: .12em; text-align: center; text-transform: uppercase; }
button {
  margin-top: 24px; padding: 11px 20px; font: inherit; font-weight: 600; color: var(--on); background: var(--brand);
  border: 1px solid transparent; border-radius: 10px; cursor: pointer;
}
button.quiet { color: var(--ink); background: none; border-color: var(--line); margin-left: 8px; }
:focus-visible { outline: 3px solid var(--brand); outline-offset: 2px; }
[role=alert] { color: var(--bad); font-weight: 600; }
.hint { font-size: 15px; color: var(--soft); }
select {
  width: 100%; margin-top: 6px; padding: 11px 12px; font: inherit; color: inherit; background: var(--ground);
  border: 1px solid var(--line); border-radius: 10px;
}
dt { font-size: 15px; color: var(--soft); }
dd { font-weight: 600; overflow-wrap: anywhere; }
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
    fn a_text_cannot_leave_its_place() {
        let shown = Text("<script>alert(\"1\")</script> & 'x' \u{202e}y").to_string();
        assert_eq!(shown, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39; y");
    }

    #[test]
    fn the_policy_allows_the_style_that_is_in_the_page_and_nothing_else() {
        let response = Page::new("Title", String::new()).into_response();
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        assert_eq!(
            policy,
            format!(
                "default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; base-uri 'none'; \
                 form-action 'self'"
            )
        );
        let slow = Page::new("Title", String::new()).after(&Problem::slow_down(17)).into_response();
        assert_eq!(
            (slow.status(), &slow.headers()[header::RETRY_AFTER]),
            (StatusCode::TOO_MANY_REQUESTS, &"17".parse().unwrap())
        );
        let inside = Page::new("<i>", String::new()).within("<nav></nav>".into()).into_response();
        let policy = inside.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.contains(&format!("style-src 'sha256-{hash}' 'sha256-{}';", super::hash(INSIDE))), "{policy}");
        for (origin, end) in [
            ("http://127.0.0.1:7", "http://127.0.0.1:7"),
            ("http://[::1]:7", "http://*:7"),
            ("http://[::1]", "http://*"),
            ("com.example.app:", "com.example.app:"),
        ] {
            let response = Page::new("Title", String::new()).may_end_at(origin).into_response();
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
            assert!(policy.ends_with(&format!("form-action 'self' {end}")), "{policy}");
        }
        for style in [STYLE, INSIDE] {
            assert!(!style.contains("url(") && !style.contains("@import") && !style.contains("</"));
        }
    }
}
