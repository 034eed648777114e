//! The person at a sign-in: what they see, and what they do.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use serde::Serialize;

use crate::auth::session::timestamp;
use crate::auth::{Notice, Reply};
use crate::cli::{Doors, active, browser};
use crate::http::Url;
use crate::text::clean;

/// Shows notices, opens the browser, and listens for Ctrl-C and for a pasted address.
pub(in crate::cli) struct Sight<'a> {
    doors: &'a Doors<'a>,
    json: bool,
    no_browser: bool,
    device_offered: bool,
    pasted: Option<Receiver<String>>,
    counting: Option<u64>,
}

/// What another program needs to carry a sign-in out: one JSON object, then lanyard goes on waiting.
#[derive(Serialize)]
#[serde(untagged)]
enum Step<'a> {
    Browser {
        browser_url: &'a str,
        expires_at: String,
        next_step: &'static str,
    },
    Device {
        verification_url: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        verification_url_complete: Option<&'a str>,
        user_code: &'a str,
        expires_at: String,
        next_step: &'static str,
    },
}

impl<'a> Sight<'a> {
    pub(in crate::cli) fn new(doors: &'a Doors<'a>, json: bool, no_browser: bool, device_offered: bool) -> Self {
        doors.ui.catch_interrupts();
        Self { doors, json, no_browser, device_offered, pasted: None, counting: None }
    }

    /// Shows one notice and tells what the person did meanwhile.
    pub(in crate::cli) fn notice(&mut self, notice: Notice<'_>) -> Reply {
        let ui = self.doors.ui;
        match notice {
            Notice::Visit { url, expires_at } => {
                if self.json {
                    let next_step = "open browser_url in a browser on this machine and sign in; this command ends when that is done";
                    return self.step(&Step::Browser {
                        browser_url: url.as_str(),
                        expires_at: timestamp(expires_at),
                        next_step,
                    });
                }
                self.visit(url);
            }
            Notice::EnterCode { url, complete, user_code, expires_at } => {
                if self.json {
                    let next_step =
                        "open verification_url in any browser and enter user_code; this command ends when that is done";
                    return self.step(&Step::Device {
                        verification_url: url.as_str(),
                        verification_url_complete: complete.map(Url::as_str),
                        user_code,
                        expires_at: timestamp(expires_at),
                        next_step,
                    });
                }
                self.enter_code(url, complete, user_code);
            }
            Notice::Waiting(left) => return self.waiting(left),
            Notice::NotAccepted(why) => {
                self.clear();
                ui.warn(why);
                self.pasted = Some(ui.hidden_line());
            }
            Notice::Warning(text) => {
                self.clear();
                ui.warn(&clean(&text));
            }
        }
        Reply::GoOn
    }

    fn step(&self, step: &Step<'_>) -> Reply {
        // A program that went away cannot carry the sign-in out.
        if self.doors.ui.answer_json_line(step).is_err() { Reply::Cancel } else { Reply::GoOn }
    }

    fn visit(&mut self, url: &Url) {
        let ui = self.doors.ui;
        let headless = browser::obstacle(self.doors.env);
        let opened = !self.no_browser
            && headless.is_none()
            && browser::open(self.doors.env, url, &active::secret_variables(self.doors.env));
        match (opened, headless) {
            (true, _) => ui.say("Your browser opens. If it does not, open this address:"),
            (false, Some(why)) if !self.no_browser => {
                ui.say(&format!("No browser can be opened here: {why}. Open this address:"));
            }
            (false, _) => ui.say("Open this address in a browser:"),
        }
        ui.say(url.as_str());
        if !opened && !self.no_browser && self.doors.env.interactive {
            ui.say("If the browser runs on another machine, it ends at an address that does not load: paste that address here.");
            self.pasted = Some(ui.hidden_line());
        }
        if !self.no_browser && headless.is_some() && self.device_offered {
            ui.note("A code instead of an address: lanyard auth login --device");
        }
    }

    fn enter_code(&self, url: &Url, complete: Option<&Url>, user_code: &str) {
        let ui = self.doors.ui;
        ui.say("Open this address in any browser:");
        ui.say(url.as_str());
        ui.say(&format!("and enter the code {}", ui.strong(user_code)));
        if self.doors.env.stderr_is_terminal
            && let Some(code) = qr_code(complete.unwrap_or(url))
        {
            ui.say(&code);
            if complete.is_some() {
                ui.note("The picture holds the code: continue only if the page shows the same one.");
            }
        }
    }

    fn waiting(&mut self, left: Duration) -> Reply {
        let ui = self.doors.ui;
        if ui.interrupted() {
            self.clear();
            return Reply::Cancel;
        }
        if let Some(pasted) = &self.pasted {
            match pasted.try_recv() {
                Ok(address) => {
                    self.pasted = None;
                    return Reply::Pasted(address);
                }
                Err(TryRecvError::Disconnected) => self.pasted = None,
                Err(TryRecvError::Empty) => {}
            }
        } else if self.counting != Some(left.as_secs()) {
            self.counting = Some(left.as_secs());
            ui.countdown("Waiting for you in the browser", left);
        }
        Reply::GoOn
    }

    fn clear(&mut self) {
        if self.counting.take().is_some() {
            self.doors.ui.end_countdown();
        }
    }
}

impl Drop for Sight<'_> {
    fn drop(&mut self) {
        self.clear();
        self.doors.ui.release_interrupts();
    }
}

/// A QR code out of half blocks: two rows of modules to a line.
fn qr_code(url: &Url) -> Option<String> {
    let code = qrcode::QrCode::with_error_correction_level(url.as_str(), qrcode::EcLevel::L).ok()?;
    Some(
        code.render::<qrcode::render::unicode::Dense1x2>()
            .dark_color(qrcode::render::unicode::Dense1x2::Light)
            .light_color(qrcode::render::unicode::Dense1x2::Dark)
            .build(),
    )
}
