//! What a process and its agent say to each other: a length, a version, and fields with their lengths before them.
//!
//! Both are the same program, so there is one version and no negotiation: who does not understand the other falls back
//! to doing the work itself.

use zeroize::Zeroizing;

use super::fields::Reader;
use crate::helper::Reply;
use crate::secret::Secret;

/// The version of what is said here. The program's own version is compared as well.
const VERSION: u8 = 1;
/// The program's version. Helpers of another one may answer otherwise.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");
/// The longest frame, its length left out: the longest question or answer of a tool, and what belongs to it.
pub(super) const LONGEST: usize = 4 << 20;
/// More words or variables than this has no call.
const MOST: u32 = 4096;

/// What an agent is asked.
pub(super) enum Request {
    /// A tool's question to a helper.
    Call(Question),
    /// How it stands.
    Status,
    /// To forget the key.
    Lock,
    /// To use this key.
    Unlock(Secret),
    /// To end.
    Stop,
}

/// A tool's question to a helper, with what the helper may need to know of its caller's surroundings.
#[cfg_attr(test, derive(Debug))]
#[derive(Default)]
pub(super) struct Question {
    /// The helper.
    pub(super) helper: String,
    /// The words after its name.
    pub(super) words: Vec<String>,
    /// What stood on stdin.
    pub(super) text: Zeroizing<String>,
    /// Variables.
    pub(super) variables: Vec<(String, String)>,
    /// The folder the caller was started in.
    pub(super) working_dir: String,
    /// The folder of the caller's configuration. An agent of another one does not answer.
    pub(super) config_dir: String,
    /// The digest of what [`super::way_out`] reads. An agent of another one asks nobody over the network.
    pub(super) way_out: String,
}

/// What an agent answers.
pub(super) enum Response {
    /// What the tool is to be told.
    Reply(Reply),
    /// The caller is to do it itself.
    NotMine,
    /// It takes longer, since others are asked over the network.
    Working,
    /// How it stands, as JSON.
    Status(String),
    /// It was done.
    Done,
}

/// A frame that is put together in a buffer of the right size, so that growing leaves no copy of a secret behind.
struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn new(kind: u8, room: usize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(room + 64));
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&[VERSION, kind]);
        Self(bytes)
    }

    fn number(mut self, number: usize) -> Self {
        // What does not fit is longer than any frame, and refused as such.
        self.0.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut this = self.number(bytes.len());
        this.0.extend_from_slice(bytes);
        this
    }

    fn done(mut self) -> Option<Zeroizing<Vec<u8>>> {
        let length = self.0.len() - 4;
        if length > LONGEST {
            return None;
        }
        let length = u32::try_from(length).ok()?.to_be_bytes();
        self.0.get_mut(..4)?.copy_from_slice(&length);
        Some(self.0)
    }
}

/// So many of something as a number says, each read by `one`.
fn several<'f, T>(fields: &mut Reader<'f>, mut one: impl FnMut(&mut Reader<'f>) -> Option<T>) -> Option<Vec<T>> {
    let count = fields.number().filter(|count| *count <= MOST)?;
    (0..count).map(|_| one(fields)).collect()
}

/// The kind of a frame and its fields; `None` where it is of another version.
fn open(frame: &[u8]) -> Option<(u8, Reader<'_>)> {
    match frame {
        [VERSION, kind, fields @ ..] => Some((*kind, Reader(fields))),
        _ => None,
    }
}

impl Request {
    /// The bytes of the frame; `None` where it would be too long.
    pub(super) fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Call(question) => question.encode(),
            Self::Status => Writer::new(2, 0).done(),
            Self::Lock => Writer::new(3, 0).done(),
            Self::Unlock(key) => Writer::new(4, key.expose().len()).bytes(key.expose().as_bytes()).done(),
            Self::Stop => Writer::new(5, 0).done(),
        }
    }

    /// Reads a frame, the length left out.
    pub(super) fn decode(frame: &[u8]) -> Option<Self> {
        let (kind, mut fields) = open(frame)?;
        let request = match kind {
            1 => Self::Call(Question::decode(&mut fields)?),
            2 => Self::Status,
            3 => Self::Lock,
            4 => Self::Unlock(Secret::new(fields.text()?.to_owned())),
            5 => Self::Stop,
            _ => return None,
        };
        fields.end(request)
    }
}

impl Question {
    fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        let words: usize = self.words.iter().map(|word| word.len() + 4).sum();
        let variables: usize = self.variables.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let room = words + variables + self.text.len() + self.working_dir.len() + self.config_dir.len() + 256;
        let mut frame = Writer::new(1, room).bytes(PROGRAM.as_bytes()).bytes(self.helper.as_bytes());
        frame = frame.number(self.words.len());
        for word in &self.words {
            frame = frame.bytes(word.as_bytes());
        }
        frame = frame.bytes(self.text.as_bytes()).number(self.variables.len());
        for (name, value) in &self.variables {
            frame = frame.bytes(name.as_bytes()).bytes(value.as_bytes());
        }
        frame = frame.bytes(self.working_dir.as_bytes()).bytes(self.config_dir.as_bytes());
        frame.bytes(self.way_out.as_bytes()).done()
    }

    fn decode(fields: &mut Reader<'_>) -> Option<Self> {
        fields.text().filter(|program| *program == PROGRAM)?;
        Some(Self {
            helper: fields.text()?.to_owned(),
            words: several(fields, |fields| fields.text().map(str::to_owned))?,
            text: Zeroizing::new(fields.text()?.to_owned()),
            variables: several(fields, |fields| Some((fields.text()?.to_owned(), fields.text()?.to_owned())))?,
            working_dir: fields.text()?.to_owned(),
            config_dir: fields.text()?.to_owned(),
            way_out: fields.text()?.to_owned(),
        })
    }
}

impl Response {
    /// The bytes of the frame; `None` where it would be too long.
    pub(super) fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Reply(reply) => {
                let talk = reply.talk.as_deref().unwrap_or_default();
                let frame = Writer::new(1, reply.stdout.len() + talk.len() + 16).number(usize::from(reply.code));
                frame.bytes(&reply.stdout).bytes(talk.as_bytes()).done()
            }
            Self::NotMine => Writer::new(2, 0).done(),
            Self::Working => Writer::new(3, 0).done(),
            Self::Status(status) => Writer::new(4, status.len()).bytes(status.as_bytes()).done(),
            Self::Done => Writer::new(5, 0).done(),
        }
    }

    /// Reads a frame, the length left out.
    pub(super) fn decode(frame: &[u8]) -> Option<Self> {
        let (kind, mut fields) = open(frame)?;
        let response = match kind {
            1 => {
                let code = u8::try_from(fields.number()?).ok()?;
                let stdout = Zeroizing::new(fields.bytes()?.to_vec());
                let talk = fields.text().map(|talk| Some(talk.to_owned()).filter(|talk| !talk.is_empty()))?;
                Self::Reply(Reply { stdout, talk, code })
            }
            2 => Self::NotMine,
            3 => Self::Working,
            4 => Self::Status(fields.text()?.to_owned()),
            5 => Self::Done,
            _ => return None,
        };
        fields.end(response)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(frame: &[u8]) -> &[u8] {
        let (length, body) = frame.split_first_chunk().unwrap();
        assert_eq!(u32::from_be_bytes(*length) as usize, body.len());
        body
    }

    proptest! {
        #[test]
        fn a_question_arrives_as_it_was_sent(
            helper in ".*", words in prop::collection::vec(".*", 0..5), text in ".*",
            variables in prop::collection::vec((".*", ".*"), 0..5), working_dir in ".*", config_dir in ".*", way_out in ".*",
        ) {
            let text = Zeroizing::new(text);
            let sent = Question { helper, words, text, variables, working_dir, config_dir, way_out };
            let told = format!("{sent:?}");
            let frame = Request::Call(sent).encode().unwrap();
            let Some(Request::Call(read)) = Request::decode(body(&frame)) else { panic!("another request") };
            prop_assert_eq!(format!("{read:?}"), told);
        }

        #[test]
        fn a_reply_arrives_as_it_was_sent(stdout in prop::collection::vec(any::<u8>(), 0..300), talk in ".*", code: u8) {
            let sent = Reply { stdout: Zeroizing::new(stdout), talk: Some(talk).filter(|talk| !talk.is_empty()), code };
            let told = format!("{sent:?}");
            let frame = Response::Reply(sent).encode().unwrap();
            let Some(Response::Reply(read)) = Response::decode(body(&frame)) else { panic!("another response") };
            prop_assert_eq!(format!("{read:?}"), told);
        }

        #[test]
        fn noise_and_cut_frames_are_nothing(noise in prop::collection::vec(any::<u8>(), 0..200), cut in 0..100_usize) {
            let _ = (Request::decode(&noise), Response::decode(&noise));
            let versioned = [&[VERSION], noise.as_slice()].concat();
            let _ = (Request::decode(&versioned), Response::decode(&versioned));
            let question = Question { helper: "git".into(), words: vec!["get".into()], ..Question::default() };
            let frame = Request::Call(question).encode().unwrap();
            let whole = body(&frame);
            prop_assert!(Request::decode(&whole[..cut.min(whole.len() - 1)]).is_none());
            prop_assert!(Request::decode(&[whole, &[0]].concat()).is_none());
        }
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let stdout = Zeroizing::new(vec![0; LONGEST]);
        assert!(Response::Reply(Reply { stdout, talk: None, code: 0 }).encode().is_none());
        let many = Writer::new(1, 0).bytes(PROGRAM.as_bytes()).bytes(b"git").number(usize::MAX).done().unwrap();
        assert!(Request::decode(body(&many)).is_none());
    }

    #[test]
    fn another_version_is_nothing() {
        let frame = Request::Status.encode().unwrap();
        let mut other = body(&frame).to_vec();
        other[0] += 1;
        assert!(Request::decode(&other).is_none());
        let older = Writer::new(1, 0).bytes(b"0.0.0").done().unwrap();
        assert!(Request::decode(body(&older)).is_none());
    }
}
