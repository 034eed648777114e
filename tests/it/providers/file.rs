//! Files: every byte comes back, and nothing of it is seen anywhere else.

use std::os::unix::fs::PermissionsExt;

use base64::Engine;

use crate::canary::{Canary, Sweep};
use crate::terminal::Terminal;
use crate::vaulted::{self, list, reveal};

#[test]
fn a_file_is_kept_and_comes_back_byte_for_byte() {
    let stage = vaulted::stage();
    let canary = Canary::new();
    let text = format!("line one\n{}\nno line break at the end", canary.text());
    let folder = stage.root().join("given");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("key.txt"), &text).unwrap();
    let path = folder.join("key.txt");
    let stored = stage.run(&["credentials", "store", "file", path.to_str().unwrap()]).ends(0);
    let told = stored.stderr();
    assert!(told.contains(&format!("Stored key.txt (file, from {}), unverified", path.display())), "{told}");
    assert!(told.contains("it still lies in plain text in"), "{told}");
    let listed = list(&stage).remove(0);
    assert_eq!(
        (&listed["fields"]["file_name"], &listed["fields"]["size"]),
        (&"key.txt".into(), &text.len().to_string().into())
    );
    stage.run(&["credentials", "show", "key.txt"]).ends(0);
    std::fs::remove_dir_all(&folder).unwrap();
    let mut sweep = Sweep::for_canaries(&[canary]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();

    let to = stage.home().join("back");
    let export = ["credentials", "export", "key.txt", "--format", "file", "--to", to.to_str().unwrap()];
    stage.run(&export).ends(0);
    assert_eq!(std::fs::read_to_string(&to).unwrap(), text);
    assert_eq!(stage.run(&export[..5]).ends(0).stdout(), text);
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let env = stage.run(&["credentials", "export", "key.txt", "--format", "env"]).ends(2);
    assert!(env.stderr().contains("CREDENTIAL_FILE_KEY_TXT names a file"), "{env}");
    stage.run(&["credentials", "delete", "key.txt", "--yes"]).ends(0);
}

#[test]
fn a_file_of_any_bytes_of_up_to_a_megabyte_is_kept() {
    let stage = vaulted::stage();
    let bytes: Vec<u8> = (0..1 << 20).map(|index: u32| index.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    std::fs::write(stage.home().join("store.p12"), &bytes).unwrap();
    stage.run(&["credentials", "store", "file", "~/store.p12", "--name", "big"]).ends(0);
    let back = reveal(&stage, "big", "content");
    assert!(base64::engine::general_purpose::STANDARD.decode(back).unwrap() == bytes);
    let export = ["credentials", "export", "big", "--format", "file"];
    assert!(stage.run(&export).ends(0).stdout == bytes);
    stage.run(&[&export[..], &["--to", "back.p12"]].concat()).ends(0);
    assert!(std::fs::read(stage.home().join("back.p12")).unwrap() == bytes);
    let mut terminal = Terminal::start(&stage, &export);
    terminal.sees("this is no text, and nothing for a screen");
    assert_eq!(terminal.ends().code, Some(2));
    stage.run(&["credentials", "export", "big", "--format", "base64"]).ends(0);

    std::fs::write(stage.home().join("large"), vec![0; (1 << 20) + 1]).unwrap();
    let large = stage.run(&["credentials", "store", "file", "large"]).ends(1);
    assert!(large.stderr().contains("it is larger than 1 MiB"), "{large}");
    std::fs::create_dir(stage.home().join("folder")).unwrap();
    let folder = stage.run(&["credentials", "store", "file", "folder"]).ends(1);
    assert!(folder.stderr().contains("it is a folder"), "{folder}");
    stage.run(&["credentials", "store", "file", "missing"]).ends(1);
    assert_eq!(list(&stage).len(), 1);

    std::fs::write(stage.home().join("new.p12"), &bytes[..1000]).unwrap();
    stage.run(&["credentials", "update", "big", "--field", "content=@new.p12"]).ends(0);
    assert!(stage.run(&export).ends(0).stdout == bytes[..1000]);
    assert_eq!(list(&stage)[0]["fields"]["size"], "1000");
    let nothing = stage.run(&["credentials", "update", "big"]).ends(2);
    assert!(nothing.stderr().contains("next: give --field content=@FILE"), "{nothing}");
}
