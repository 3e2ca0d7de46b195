//! Flags, environment and configuration file of a program, in this order of precedence.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config_file::{self, Row, Settings};
use clap::{CommandFactory, FromArgMatches};

use crate::exit::chain;

/// The flag that names the configuration file.
const CONFIG: &str = "config";

/// Flags that say where a program's configuration file is.
#[derive(Clone, Debug, clap::Args)]
pub struct FileArgs {
    /// Gardener Resource Manager's configuration file (kind ResourceManagerConfiguration). Flags and environment variables win
    /// over it.
    #[arg(long, env = "HOLDFAST_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Where a program's settings come from, beside its flags and their environment variables.
#[derive(Clone, Copy, Debug)]
pub struct Sources {
    /// What becomes of the keys of the configuration file.
    pub rows: &'static [Row],
    /// Environment variables of the original with the flags that they stand for. They go before the file.
    pub before_file: &'static [(&'static str, &'static str)],
    /// The same for those that count only where the file says nothing.
    pub after_file: &'static [(&'static str, &'static str)],
}

/// The settings of a program.
#[derive(Clone, Debug)]
pub struct LoadedSettings<A> {
    /// The values.
    pub args: A,
    /// What is in the file and has no effect, a line each, to be logged as soon as there is a log.
    pub warnings: Vec<String>,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The command line or the environment; also a wish for help or the version.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The file.
    #[error("configuration file {}: {reason}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What is wrong, with the paths of the keys.
        reason: String,
    },
}

impl SettingsError {
    /// For the end of the program; help and version end it here, as clap does.
    pub fn into_end(self) -> anyhow::Error {
        match self {
            Self::Usage(error) => error.exit(),
            file @ Self::File { .. } => file.into(),
        }
    }
}

/// Reads everything. `arguments` begins with the name of the program; `variable` is of those of [`Sources`], clap asks the
/// environment itself.
///
/// # Errors
/// Something is wrong with one of them.
pub fn load<A: CommandFactory + FromArgMatches>(
    sources: &Sources,
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<LoadedSettings<A>, SettingsError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let matches = A::command().try_get_matches_from(arguments.iter())?;
    let path = matches.get_one::<PathBuf>(CONFIG).cloned();
    let Settings { mut defaults, warnings } = match &path {
        Some(path) => file(path, sources.rows)?,
        None => Settings::default(),
    };
    let given = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    for (name, flag) in sources.before_file {
        if let Some(value) = given(name) {
            defaults.insert(flag, value);
        }
    }
    for (name, flag) in sources.after_file {
        if let Some(value) = given(name) {
            defaults.entry(flag).or_insert(value);
        }
    }
    let mut command = A::command();
    for (flag, value) in defaults {
        let id = command.get_arguments().find(|arg| arg.get_long() == Some(flag)).map(|arg| arg.get_id().clone());
        if let Some(id) = id {
            // Clap takes nothing shorter-lived; it happens once.
            let value: &'static str = Box::leak(value.into_boxed_str());
            command = command.mut_arg(id, |arg| arg.default_value(value));
        }
    }
    let mut matches = command.try_get_matches_from(arguments).map_err(|error| match &path {
        // Without the file they were right.
        Some(path) => SettingsError::File { path: path.clone(), reason: first_line(&error.to_string()) },
        None => error.into(),
    })?;
    let args = A::from_arg_matches_mut(&mut matches)?;
    let from = |warning| format!("configuration file: {warning}");
    Ok(LoadedSettings { args, warnings: warnings.into_iter().map(from).collect() })
}

fn file(path: &Path, rows: &[Row]) -> Result<Settings, SettingsError> {
    let failed = |reason: String| SettingsError::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let value: serde_json::Value = serde_yaml::from_str(&text).map_err(|error| failed(chain(&error)))?;
    config_file::read(&value, rows)
        .map_err(|faults| failed(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use crate::config_file::{Kind, Meaning};
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Args {
        #[command(flatten)]
        file: FileArgs,
        #[arg(long, default_value = "built-in")]
        class: String,
        #[arg(long)]
        home: Option<String>,
        #[arg(long, value_delimiter = ',')]
        namespaces: Vec<String>,
        #[arg(long, default_value = "1")]
        small: u8,
    }

    const SOURCES: Sources = Sources {
        rows: &[
            Row { path: "class", meaning: Meaning::Flag("class", Kind::NonEmpty) },
            Row { path: "home", meaning: Meaning::Flag("home", Kind::Text) },
            Row { path: "namespaces", meaning: Meaning::Flag("namespaces", Kind::List) },
            Row { path: "small", meaning: Meaning::Flag("small", Kind::Positive) },
        ],
        before_file: &[("CLASS", "class")],
        after_file: &[("POD_NAMESPACE", "home")],
    };

    fn check(content: &str, flags: &[&str], variables: &[(&str, &str)]) -> Result<LoadedSettings<Args>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        let header = format!("apiVersion: {}\nkind: {}\n", config_file::API_VERSION, config_file::KIND);
        std::fs::write(&path, header + content).unwrap();
        let config = format!("--config={}", path.display());
        let arguments = ["program", &config].into_iter().chain(flags.iter().copied()).map(OsString::from);
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        load(&SOURCES, arguments, variable).map_err(|error| error.to_string().replace(&path.display().to_string(), "F"))
    }

    #[test]
    fn flags_go_before_environment_before_file_before_what_is_built_in() {
        let class =
            |content, flags: &[&str], variables: &[(&str, &str)]| check(content, flags, variables).unwrap().args.class;
        assert_eq!(class("", &[], &[]), "built-in");
        assert_eq!(class("class: file", &[], &[]), "file");
        assert_eq!(class("class: file", &[], &[("CLASS", "environment")]), "environment");
        assert_eq!(class("class: file", &["--class=flag"], &[("CLASS", "environment")]), "flag");
        let home = |content| check(content, &[], &[("POD_NAMESPACE", "pod")]).unwrap().args.home.unwrap();
        assert_eq!((home("home: file"), home("")), ("file".to_owned(), "pod".to_owned()));
        assert_eq!(check("namespaces: [a, b]", &[], &[]).unwrap().args.namespaces, ["a", "b"]);
        assert_eq!(check("namespaces: [a, b]", &["--namespaces=c"], &[]).unwrap().args.namespaces, ["c"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        for (content, expected) in [
            (
                "class: ''\nsmall: x\n",
                "configuration file F: class: must not be empty; small: must be a whole number from 1, not \"x\"",
            ),
            ("small: 300\n", "configuration file F: invalid value '300' for '--small <SMALL>': 300 is not in 0..=255"),
            (
                "class: a: b\n",
                "configuration file F: mapping values are not allowed in this context at line 3 column 9",
            ),
        ] {
            assert_eq!(check(content, &[], &[]).unwrap_err(), expected);
        }
        let warnings = check("klass: x\n", &[], &[]).unwrap().warnings;
        assert_eq!(warnings, ["configuration file: klass is not known and has no effect; is it misspelt?"]);
        let missing = load::<Args>(&SOURCES, ["program", "--config=/none"].map(OsString::from), |_| None);
        let expected = "configuration file /none: No such file or directory (os error 2)";
        assert_eq!(missing.unwrap_err().to_string(), expected);
        assert!(matches!(check("", &["--klass=x"], &[]), Err(text) if text.contains("unexpected argument '--klass'")));
    }
}
