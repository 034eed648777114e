//! The key in a file, recognised by its public half: that is what a passphrase is stored with.

use std::path::Path;

use ssh_key::{HashAlg, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::os::files;

/// The fingerprint of the key in a file; `None` where it is none, or its public half cannot be seen.
pub(super) fn fingerprint(path: &Path) -> Option<String> {
    let text = |path: &Path| {
        let bytes = Zeroizing::new(files::read(path).ok()??);
        std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
    };
    let private = text(path)?;
    // OpenSSH's own form has the public half in the clear. An older one has it in the file beside, if anywhere.
    let public = match PrivateKey::from_openssh(private.as_bytes()) {
        Ok(key) => key.public_key().clone(),
        Err(_) if private.contains("PRIVATE KEY-----") => {
            let mut beside = path.as_os_str().to_owned();
            beside.push(".pub");
            PublicKey::from_openssh(text(Path::new(&beside))?.trim()).ok()?
        }
        Err(_) => return None,
    };
    Some(public.fingerprint(HashAlg::Sha256).to_string())
}
