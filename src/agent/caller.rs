//! The caller's end: asks the agent, if there is one, and says when the work is to be done without it.

use std::time::{Duration, Instant};

use super::frame::{LONGEST, Question, Request, Response};
use super::line::{Broken, Frame, Line};
use super::peer;
use super::place::Place;
use super::{is_told, way_out};
use crate::helper::Reply;
use crate::os::Env;

/// An agent that can answer does so at once; on a machine under load, within this.
pub(super) const SOON: Duration = Duration::from_secs(2);
/// An agent that asks others over the network says so, and has this long.
const LATER: Duration = Duration::from_secs(90);

/// A process that asks the agent of its data folder.
pub struct Caller<'e> {
    env: &'e Env,
}

impl<'e> Caller<'e> {
    /// Nothing is opened yet.
    pub fn new(env: &'e Env) -> Self {
        Self { env }
    }

    /// What the agent has the tool told; `None` where there is no agent, or none that answers this.
    pub fn ask(&self, helper: &str, words: &[String], text: &str) -> Option<Reply> {
        let line = line(self.env)?;
        let told = self.env.variables().filter(|(name, _)| is_told(name));
        let question = Question {
            helper: helper.to_owned(),
            words: words.to_vec(),
            text: text.to_owned().into(),
            variables: told.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            working_dir: self.env.working_dir().to_str()?.to_owned(),
            config_dir: self.env.config_dir().to_str()?.to_owned(),
            way_out: way_out(self.env),
        };
        match said(line, &Request::Call(question), SOON).ok()? {
            Response::Reply(reply) => Some(reply),
            _ => None,
        }
    }
}

/// The line to the agent of this data folder; `None` where nobody of this user listens.
pub(super) fn line(env: &Env) -> Option<Line> {
    Place::all(env).find_map(|place| {
        // A folder that somebody else was faster to make is not talked to, nor is a process of somebody else.
        let line = if Place::is_safe(&place.calls) { Line::to(&place.calls, LONGEST) } else { None };
        line.filter(|line| peer::is_own(line.socket()))
    })
}

/// What the agent says to a request, or that it works on it, within this `patience`.
pub(super) fn said(mut line: Line, request: &Request, patience: Duration) -> Result<Response, Broken> {
    let frame = request.encode().ok_or(Broken)?;
    let mut deadline = Instant::now() + patience;
    line.send(&frame, deadline)?;
    loop {
        let Frame::Whole(frame) = line.receive(deadline)? else { return Err(Broken) };
        match Response::decode(&frame).ok_or(Broken)? {
            Response::Working => deadline = Instant::now() + LATER,
            response => return Ok(response),
        }
    }
}
