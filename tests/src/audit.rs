//! What the API server saw: its audit log.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// Reads an audit log from a position on.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
    offset: u64,
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The user name, such as `alice` or `system:serviceaccount:holdfast-system:holdfast-controller`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, …
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in plural; empty for requests to other paths.
    pub resource: String,
    /// Such as `status` or `scale`; empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-wide requests.
    pub namespace: String,
    /// Empty for lists, and for creations whose name the server makes.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// The HTTP status.
    pub code: u16,
    /// What admission noted, by `<name of the webhook>/<key>`, and who allowed it.
    pub annotations: BTreeMap<String, String>,
    /// When the request came in.
    pub received: Timestamp,
    /// When it was answered.
    pub answered: Timestamp,
}

impl Request {
    /// Whether the verb changes something. (It may not have: see the code, and dry runs.)
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

impl AuditLog {
    /// The log at `path` from its beginning.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), offset: 0 }
    }

    /// The log at `path` from its present end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn from_now(path: &Path) -> Result<Self> {
        let offset = path.metadata().with_context(|| format!("look at {}", path.display()))?.len();
        Ok(Self { path: path.to_path_buf(), offset })
    }

    /// The requests since the last call, or since the start of this reader. A watch counts when it has ended.
    ///
    /// # Errors
    /// The log cannot be read, or is not an audit log.
    pub fn read(&mut self) -> Result<Vec<Request>> {
        let mut file = File::open(&self.path).with_context(|| format!("open {}", self.path.display()))?;
        // With the byte before: if that ends no line, the rest of its line is of a request before this reader.
        let start = self.offset.saturating_sub(1);
        file.seek(SeekFrom::Start(start)).context("go to the last position in the audit log")?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).context("read the audit log")?;
        // The last line may be half written.
        let Some(last) = content.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let first = content.iter().position(|byte| *byte == b'\n').filter(|_| self.offset > 0);
        let (begin, complete) = (first.map_or(0, |position| position + 1), last + 1);
        let mut requests = Vec::new();
        for line in content[begin..complete].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let entry: Entry = serde_json::from_slice(line)
                .with_context(|| format!("read the audit entry {}", String::from_utf8_lossy(line)))?;
            // At the stage ResponseStarted, a watch is under way.
            if entry.stage != "ResponseStarted" {
                requests.push(entry.into());
            }
        }
        self.offset = start + u64::try_from(complete).context("count the bytes of the audit log")?;
        Ok(requests)
    }

    /// As [`Self::read`], those of one user.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_of(&mut self, user: &str) -> Result<Vec<Request>> {
        let mut requests = self.read()?;
        requests.retain(|request| request.user == user);
        Ok(requests)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: Account,
    #[serde(default)]
    object_ref: Reference,
    #[serde(default)]
    response_status: Status,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
}

impl From<Entry> for Request {
    fn from(entry: Entry) -> Self {
        Self {
            user: entry.user.username,
            verb: entry.verb,
            group: entry.object_ref.api_group,
            resource: entry.object_ref.resource,
            subresource: entry.object_ref.subresource,
            namespace: entry.object_ref.namespace,
            name: entry.object_ref.name,
            uri: entry.request_uri,
            code: entry.response_status.code,
            annotations: entry.annotations,
            received: entry.request_received_timestamp,
            answered: entry.stage_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_line_that_was_half_written_is_of_before() {
        let line = |name: &str| {
            format!(
                "{{\"stage\":\"ResponseComplete\",\"requestURI\":\"/{name}\",\"verb\":\"get\",\"user\":{{\"username\":\"u\"}},\
                 \"requestReceivedTimestamp\":\"2026-01-01T00:00:00.000000Z\",\"stageTimestamp\":\"2026-01-01T00:00:00.000000Z\"}}\n"
            )
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let first = line("first");
        file.write_all(&first.as_bytes()[..40]).unwrap();
        let mut log = AuditLog::from_now(file.path()).unwrap();
        assert!(log.read().unwrap().is_empty());
        file.write_all(&first.as_bytes()[40..]).unwrap();
        assert!(log.read().unwrap().is_empty());
        file.write_all(line("second").as_bytes()).unwrap();
        let uris: Vec<String> = log.read().unwrap().into_iter().map(|request| request.uri).collect();
        assert_eq!(uris, ["/second"]);
        assert_eq!(AuditLog::new(file.path()).read().unwrap().len(), 2);
    }
}
