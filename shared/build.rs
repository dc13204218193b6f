//! What a build tells of itself: the compiler, and the commit where whoever builds names it.
//!
//! The commit is not looked up here: each one would make everything anew. `make build` and the packages name it.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=CAUSEWAY_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let commit = std::env::var("CAUSEWAY_COMMIT").ok().filter(|commit| !commit.is_empty());
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc).arg("--version").output().ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.split_whitespace().nth(1).map(str::to_owned)
    });
    println!("cargo::rustc-env=CAUSEWAY_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=CAUSEWAY_RUSTC={}", version.as_deref().unwrap_or("unknown"));
}
