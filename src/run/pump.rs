//! Output on its way from a child to its reader, masked.

use std::io::{Read, Write};
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroizing;

use crate::run::mask::{Masks, Stream};

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// The masks of a run, which may become more while it goes on.
#[derive(Clone)]
pub struct Shared(Arc<RwLock<Arc<Masks>>>);

impl Shared {
    /// The masks so far.
    pub fn new(masks: Masks) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(masks))))
    }

    /// The masks in force.
    pub fn now(&self) -> Arc<Masks> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts masks in force that look for all that the old ones did and for more.
    pub fn extend(&self, masks: Masks) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(masks);
    }
}

/// Passes everything on from `reader` to `writer`, as it comes. Ends where the one has ended or the other is closed:
/// the child then learns of it as it would without us. `passed` is called for each piece.
pub fn pump(mut reader: impl Read, mut writer: impl Write, masks: &Shared, passed: impl Fn()) {
    let mut stream = Stream::new(masks.now());
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    let mut out = Vec::with_capacity(CHUNK);
    loop {
        let length = match reader.read(&mut chunk) {
            Ok(length) => length,
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        out.clear();
        stream.look_for(masks.now(), &mut out);
        if length == 0 {
            stream.end(&mut out);
            // Nobody may be reading any more.
            let _ = writer.write_all(&out).and_then(|()| writer.flush());
            return;
        }
        stream.push(chunk.get(..length).unwrap_or_default(), &mut out);
        if !out.is_empty() && writer.write_all(&out).and_then(|()| writer.flush()).is_err() {
            return;
        }
        passed();
    }
}
