//! What cargo says while it builds: JSON on stdout, and lines for people on stderr.
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::leash;

/// Something that cargo built, or found built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// cargo's id of the package.
    pub package: String,
    /// The name of the library, program or test.
    pub target: String,
    /// Of a program or a test: where it is.
    pub executable: Option<PathBuf>,
}

/// One thing that cargo says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// What it does now: `Compiling kube v5.0.0`.
    Status(String),
    /// For people, as it is.
    Text(String),
    /// That something is built.
    Artifact(Artifact),
}

/// A running cargo.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    /// Ends when cargo has closed both streams.
    pub(super) messages: Receiver<Message>,
}

impl Running {
    /// Starts cargo. The compiler's texts have colours on a terminal, although cargo writes into pipes.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(mut command: Command, is_terminal: bool) -> Result<Self> {
        let format = if is_terminal { "json-diagnostic-rendered-ansi" } else { "json" };
        command.args(["--color", "never", "--message-format", format]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = leash::spawn(command)?;
        let (sender, messages) = mpsc::channel();
        follow(child.stdout.take().context("cargo has no stdout")?, sender.clone(), of_json);
        follow(child.stderr.take().context("cargo has no stderr")?, sender, of_line);
        Ok(Self { child, messages })
    }
}

fn follow(stream: impl Read + Send + 'static, sender: Sender<Message>, read: fn(String) -> Option<Message>) {
    thread::spawn(move || {
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        // It fails when nobody listens any more.
        let _ = lines.filter_map(read).try_for_each(|message| sender.send(message));
    });
}

/// Of a line on stdout.
fn of_json(line: String) -> Option<Message> {
    let Ok(value) = serde_json::from_str::<Value>(&line) else { return Some(Message::Text(line)) };
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    match value["reason"].as_str()? {
        "compiler-message" => text("/message/rendered").map(Message::Text),
        // A build script is only on the way to its crate.
        "compiler-artifact" if value.pointer("/target/kind/0").is_some_and(|kind| kind != "custom-build") => {
            let executable = text("/executable").map(PathBuf::from);
            Some(Message::Artifact(Artifact {
                package: text("/package_id")?,
                target: text("/target/name")?,
                executable,
            }))
        }
        _ => None,
    }
}

/// Of a line on stderr. cargo sets the word for what it does to the right of twelve columns.
fn of_line(line: String) -> Option<Message> {
    let status = line.trim_start();
    let word = status.split(' ').next().unwrap_or_default();
    let is_status = word.starts_with(|c: char| c.is_ascii_uppercase()) && line.len() - status.len() + word.len() == 12;
    // Where a crate of the workspace lies is known.
    let short = status.split(" (/").next().unwrap_or_default();
    match (line.is_empty(), is_status) {
        (true, _) => None,
        (false, true) => Some(Message::Status(short.to_owned())),
        (false, false) => Some(Message::Text(line)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn lines_for_people_are_progress_or_shown() {
        for (line, expected) in [
            ("   Compiling kube v5.0.0", Some(Message::Status("Compiling kube v5.0.0".to_owned()))),
            ("   Compiling xtask v0.1.0 (/home/a)", Some(Message::Status("Compiling xtask v0.1.0".to_owned()))),
            (" Downloading crates ...", Some(Message::Status("Downloading crates ...".to_owned()))),
            ("error: could not compile `a`", Some(Message::Text("error: could not compile `a`".to_owned()))),
            ("warning: unused", Some(Message::Text("warning: unused".to_owned()))),
            ("  Caused by:", Some(Message::Text("  Caused by:".to_owned()))),
            ("", None),
        ] {
            assert_eq!(of_line(line.to_owned()), expected, "{line}");
        }
    }

    #[test]
    fn messages_are_texts_and_artifacts() {
        let artifact = |kind: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"a#1","target":{{"kind":["{kind}"],"name":"a"}},"executable":"/t/a"}}"#
            )
        };
        let built =
            Artifact { package: "a#1".to_owned(), target: "a".to_owned(), executable: Some(PathBuf::from("/t/a")) };
        for (line, expected) in [
            (artifact("bin"), Some(Message::Artifact(built))),
            (artifact("custom-build"), None),
            (
                r#"{"reason":"compiler-message","message":{"rendered":"error: x\n"}}"#.to_owned(),
                Some(Message::Text("error: x\n".to_owned())),
            ),
            (r#"{"reason":"build-finished","success":true}"#.to_owned(), None),
            ("not JSON".to_owned(), Some(Message::Text("not JSON".to_owned()))),
        ] {
            assert_eq!(of_json(line.clone()), expected, "{line}");
        }
    }
}
